// The stash-boxes: which of them are used, and in which order. Each change is saved at once.
import React from "react";
import { Badge, Button, Form } from "react-bootstrap";
import { faArrowDown, faArrowUp } from "@fortawesome/free-solid-svg-icons";
import { call } from "../backend";
import { useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { Empty, Failure } from "../parts/states";
import type { StashInfo } from "../types";

type Box = StashInfo["stash_boxes"][number];

export const StashBoxes: React.FC<{ boxes: Box[]; changed: () => void }> = ({ boxes: known, changed }) => {
  const { error, run } = useDoing();
  /** What is still to be saved, and whether something is being saved: a second change waits for the first. */
  const wanted = React.useRef<Box[]>();
  const saving = React.useRef(false);
  /** As it was just chosen, until the server's own word comes. */
  const [chosen, choose] = React.useState<Box[]>();
  const [said, say] = React.useState("");
  React.useEffect(() => choose(undefined), [known]);
  const boxes = chosen ?? known;
  const save = (next: Box[], words: string) => {
    choose(next);
    say(words);
    wanted.current = next;
    if (saving.current) return;
    saving.current = true;
    void run(saveWanted).then(() => {
      saving.current = false;
      wanted.current = undefined;
      changed();
    });
  };
  const saveWanted = async () => {
    while (wanted.current) {
      const next = wanted.current;
      wanted.current = undefined;
      const order = next.map((box) => box.endpoint);
      const off = next.filter((box) => !box.enabled).map((box) => box.endpoint);
      await call("settings_put", { body: { settings: { stashbox_order: order, stashbox_off: off } } });
    }
  };
  const move = (from: number, to: number) => {
    const next = [...boxes];
    const [box] = next.splice(from, 1);
    if (!box) return;
    next.splice(to, 0, box);
    save(next, `${nameOf(box)} is number ${to + 1} of ${next.length}.`);
  };
  const turn = (box: Box) =>
    save(
      boxes.map((one) => (one === box ? { ...one, enabled: !one.enabled } : one)),
      `${nameOf(box)} is ${box.enabled ? "not used any more" : "used"}.`,
    );
  if (!boxes.length) {
    return <Empty title="No stash-box is set in Stash">Stash has them in Settings, Metadata Providers.</Empty>;
  }
  return (
    <>
      <p className="text-muted">
        People are enrolled from these, in this order, and performers are linked to them. One that is off is left alone.
      </p>
      {error ? <Failure error={error} /> : null}
      <div className="sr-only" role="status">
        {said}
      </div>
      <ol className="sense-rows sense-boxes" aria-label="Stash-boxes in the order in which they are used">
        {boxes.map((box, place) => (
          <li key={box.endpoint} className="sense-row sense-box" data-endpoint={box.endpoint}>
            <Form.Check
              type="switch"
              id={`sense-box-${box.endpoint}`}
              label={<span className="sr-only">Use {nameOf(box)}</span>}
              checked={box.enabled}
              onChange={() => turn(box)}
            />
            <span className={box.enabled ? "sense-box-text" : "sense-box-text sense-off"}>
              <strong>{nameOf(box)}</strong>
              {box.set_in === "settings" ? <Badge variant="secondary">setting stashboxes</Badge> : null}
              <Endpoint url={box.endpoint} />
            </span>
            <span className="sense-buttons">
              <Step
                icon={faArrowUp}
                name={`Move ${nameOf(box)} up`}
                off={place === 0}
                go={() => move(place, place - 1)}
              />
              <Step
                icon={faArrowDown}
                name={`Move ${nameOf(box)} down`}
                off={place === boxes.length - 1}
                go={() => move(place, place + 1)}
              />
            </span>
          </li>
        ))}
      </ol>
    </>
  );
};

/** An address that breaks before its path where there is little room. */
const Endpoint: React.FC<{ url: string }> = ({ url }) => {
  const { origin } = new URL(url);
  return (
    <span className="text-muted sense-small sense-break">
      {origin}
      <wbr />
      {url.slice(origin.length)}
    </span>
  );
};

const nameOf = (box: Box): string => box.name || new URL(box.endpoint).host;

/** Stays in the order of focus at the ends of the list, so that a key can be pressed again and again. */
const Step: React.FC<{ icon: typeof faArrowUp; name: string; off: boolean; go: () => void }> = (props) => (
  <Button
    size="sm"
    variant="secondary"
    className={props.off ? "disabled" : ""}
    aria-label={props.name}
    aria-disabled={props.off}
    title={props.name}
    onClick={() => (props.off ? undefined : props.go())}
  >
    <Icon icon={props.icon} />
  </Button>
);
