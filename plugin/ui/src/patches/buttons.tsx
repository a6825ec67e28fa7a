// An Identify button on the pages of images, galleries and performers, for which Stash has no patch point: it is put
// into their toolbars once these are there, and follows the router. Drawn inside of Stash's own tree, through a portal
// from the bar's menu, which is on every page: Stash draws the routes of plugins only where no route of its own matches.
import React from "react";
import { Button, Modal } from "react-bootstrap";
import ReactDOM from "react-dom";
import { useLocation } from "react-router-dom";
import { faFaceSmile } from "@fortawesome/free-solid-svg-icons";
import { IdentifyPanel } from "../identify/IdentifyPanel";
import type { Entity, Target } from "../identify/asking";
import { Boundary } from "../parts/Boundary";
import { Icon } from "../parts/Icon";
import { api } from "../stash";

interface Place {
  path: RegExp;
  entity: Entity;
  /** The last element of this selector gets the button. */
  toolbar: string;
}

const PLACES: Place[] = [
  { path: /^\/images\/(\d+)/, entity: "image", toolbar: ".image-toolbar .image-toolbar-group" },
  { path: /^\/galleries\/(\d+)/, entity: "gallery", toolbar: ".gallery-toolbar .gallery-toolbar-group" },
  { path: /^\/performers\/(\d+)/, entity: "performer", toolbar: "#performer-page .details-edit" },
];

export function addIdentifyButtons(): void {
  api().patch.before("MainNavBar.MenuItems", (props) => [
    {
      ...props,
      children: (
        <>
          {props.children}
          <Boundary quiet>
            <IdentifyButton />
          </Boundary>
        </>
      ),
    },
  ]);
}

const IdentifyButton: React.FC = () => {
  const { pathname } = useLocation();
  const [open, setOpen] = React.useState(false);
  const place = PLACES.find((one) => one.path.test(pathname));
  const id = place?.path.exec(pathname)?.[1];
  const slot = useSlot(place?.toolbar, `${place?.entity} ${id}`);
  React.useEffect(() => setOpen(false), [place, id]);
  if (!place || !id) return null;
  const target: Target = { entity: place.entity, id };
  return (
    <>
      {slot
        ? ReactDOM.createPortal(
            <Button
              className={place.entity === "performer" ? "mr-2" : "minimal"}
              variant={place.entity === "performer" ? "secondary" : undefined}
              title="Identify with Stash Sense"
              onClick={() => setOpen(true)}
            >
              <Icon icon={faFaceSmile} /> Identify
            </Button>,
            slot,
          )
        : null}
      <Modal show={open} onHide={() => setOpen(false)} size="lg" aria-labelledby="sense-identify-title" scrollable>
        <Modal.Header closeButton>
          <Modal.Title id="sense-identify-title">Who is in this {TITLES[place.entity]}?</Modal.Title>
        </Modal.Header>
        <Modal.Body>
          <Boundary>
            <IdentifyPanel target={target} />
          </Boundary>
        </Modal.Body>
      </Modal>
    </>
  );
};

const TITLES: Record<Entity, string> = { scene: "scene", image: "image", gallery: "gallery", performer: "portrait" };

/** An element of our own at the end of the toolbar; made again when Stash draws the toolbar anew. */
function useSlot(selector: string | undefined, key: string): Element | undefined {
  const [slot, setSlot] = React.useState<Element>();
  React.useEffect(() => {
    if (!selector) {
      setSlot(undefined);
      return undefined;
    }
    const own = document.createElement("span");
    own.className = "sense-slot";
    const put = () => {
      const found = document.querySelectorAll(selector);
      const toolbar = found[found.length - 1];
      if (toolbar && own.parentElement !== toolbar) {
        toolbar.append(own);
        setSlot(own);
      }
    };
    put();
    const observer = new MutationObserver(put);
    observer.observe(document.getElementById("root") ?? document.body, { childList: true, subtree: true });
    return () => {
      observer.disconnect();
      own.remove();
    };
  }, [selector, key]);
  return slot;
}
