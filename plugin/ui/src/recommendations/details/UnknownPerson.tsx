// An unknown person of several scenes: the faces, where they are, and who it is.
import React from "react";
import { Button } from "react-bootstrap";
import { faUserPen } from "@fortawesome/free-solid-svg-icons";
import { Face } from "../../parts/faces";
import { Icon } from "../../parts/Icon";
import { PickPerformer } from "../../parts/PickPerformer";
import { clock, several } from "../../words";
import type { BestFace, Offered, UnknownPersonDetails } from "../records";
import { Cover } from "./Cover";
import { SceneLink } from "./facts";
import type { DetailProps } from "./facts";
import { Nearest } from "./Nearest";

export const UnknownPerson: React.FC<DetailProps<UnknownPersonDetails>> = ({ details, offered, offer }) => {
  const [picking, setPicking] = React.useState(false);
  const [named, setNamed] = React.useState<string>();
  return (
    <>
      <p className="lead">
        The same unknown person: {several(details.faces, "face")} in {several(details.scenes.length, "scene")}
      </p>
      <div className="sense-face-row">
        {details.best.map((best, place) => (
          <Face key={place} path={best.crop_url} name="the unknown person" size={112} />
        ))}
      </div>
      {"tag_performers" in offered || "name_person" in offered ? (
        <p>
          <Button variant="secondary" onClick={() => setPicking(true)}>
            <Icon icon={faUserPen} /> {named ? `This is ${named}` : "Say who this is …"}
          </Button>
        </p>
      ) : null}
      <Nearest near={details.near} words="Looks most like" />
      <section className="sense-block">
        <h4>Seen in</h4>
        <div className="sense-grid">
          {details.scenes.map((scene) => (
            <div key={scene.id} className="card sense-card">
              <Cover
                id={scene.id}
                title={scene.title}
                durationS={Math.max(0, ...scene.ranges.map((range) => range[1]))}
              />
              <div className="sense-half-head">
                <SceneLink id={scene.id} title={scene.title} {...at(scene.best)} />
              </div>
              <div className="text-muted sense-small">
                {scene.ranges.slice(0, 6).map(([start]) => (
                  <React.Fragment key={start}>
                    <SceneLink id={scene.id} title={clock(start)} at={start} />{" "}
                  </React.Fragment>
                ))}
              </div>
            </div>
          ))}
        </div>
      </section>
      {picking ? (
        <PickPerformer
          start=""
          close={() => setPicking(false)}
          pick={(local) => {
            setPicking(false);
            setNamed(local.name);
            offer(forPerformer(offered, local.id));
          }}
        />
      ) : null}
    </>
  );
};

const at = (best: BestFace | null): { at?: number } => (best?.time_s ? { at: best.time_s } : {});

const forPerformer = (offered: Offered, id: string): Offered =>
  Object.fromEntries(
    Object.entries(offered).map(([action, params]) => [
      action,
      action === "tag_performers" ? { ...params, performer_ids: [id] } : { ...params, performer_id: id },
    ]),
  );
