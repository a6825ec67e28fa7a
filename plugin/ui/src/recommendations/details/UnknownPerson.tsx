// An unknown person of several scenes: the faces, where they are, and whom they look like.
import React from "react";
import { Face } from "../../parts/faces";
import { clock, count, several } from "../../words";
import type { BestFace, UnknownPersonDetails } from "../records";
import { Cover } from "./Cover";
import { SceneLink } from "./facts";
import type { DetailProps } from "./facts";
import { Nearest } from "./Nearest";

const MOST_TIMES = 6;

export const UnknownPerson: React.FC<DetailProps<UnknownPersonDetails>> = ({ details }) => (
  <>
    <p className="lead">
      The same unknown person: {several(details.faces, "face")} in {several(details.scene_count, "scene")}
    </p>
    <div className="sense-face-row">
      {details.best.map((best, place) => (
        <Face key={place} path={best.crop_url} name="the unknown person" size={112} />
      ))}
    </div>
    <Nearest near={details.near} words="Looks most like" />
    <section className="sense-block">
      <h4>Seen in</h4>
      {details.scene_count > details.scenes.length ? (
        <p className="text-muted">The {count(details.scenes.length)} scenes in which most of the person is seen.</p>
      ) : null}
      <div className="sense-grid">
        {details.scenes.map((scene) => (
          <div key={scene.id} className="card sense-card sense-seen-in">
            <Cover
              id={scene.id}
              title={scene.title}
              durationS={Math.max(0, ...scene.ranges.map((range) => range[1]))}
            />
            <div className="sense-seen-head">
              <Face path={scene.best?.crop_url} name={`the person in ${scene.title}`} size={56} />
              <div>
                <SceneLink id={scene.id} title={scene.title} {...at(scene.best)} />
                <div className="text-muted sense-small">
                  at{" "}
                  {scene.ranges.slice(0, MOST_TIMES).map(([start], place) => (
                    <React.Fragment key={start}>
                      {place ? ", " : ""}
                      <SceneLink id={scene.id} title={clock(start)} at={start} />
                    </React.Fragment>
                  ))}
                  {scene.ranges.length > MOST_TIMES ? " …" : ""}
                </div>
              </div>
            </div>
          </div>
        ))}
      </div>
    </section>
  </>
);

const at = (best: BestFace | null): { at?: number } => (best?.time_s ? { at: best.time_s } : {});
