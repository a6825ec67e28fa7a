// Who is clearly seen in a scene and not tagged there: the face, when, and how sure that is.
import React from "react";
import { Link, useHistory } from "react-router-dom";
import { shownName } from "../../locals";
import { Confidence, Face, Timeline } from "../../parts/faces";
import { clock, percent, several } from "../../words";
import { picture } from "../pictures";
import type { UnidentifiedSceneDetails } from "../records";
import { Cover } from "./Cover";
import { fileWords, Names, SceneLink } from "./facts";
import type { DetailProps } from "./facts";
import { Nearest } from "./Nearest";

export const UnidentifiedScene: React.FC<DetailProps<UnidentifiedSceneDetails>> = ({ details }) => {
  const { scene, people } = details;
  const history = useHistory();
  const durationS = scene.files[0]?.duration_s ?? 0;
  return (
    <>
      <div className="sense-beside">
        <Cover id={scene.id} title={scene.title} durationS={durationS} />
        <div>
          <p className="lead">
            <SceneLink id={scene.id} title={scene.title} />
          </p>
          <p className="text-muted">{fileWords(scene.files[0])}</p>
          <p>
            Tagged: {scene.performers.length ? <Names items={scene.performers} kind="performers" /> : "nobody"}
            {details.tagged_not_seen.length ? (
              <>
                . Tagged but never seen: <Names items={details.tagged_not_seen} kind="performers" />
              </>
            ) : null}
          </p>
        </div>
      </div>
      {people.map((person) => {
        const name = shownName(person.performer_name ?? person.name);
        return (
          <article key={person.universal_id} className="sense-person" aria-label={name}>
            <Face path={person.best?.crop_url} name={name} size={128} />
            {person.performer_id ? (
              <img className="sense-known" src={picture("performer", person.performer_id)} alt={`${name} in Stash`} />
            ) : null}
            <div className="sense-person-body">
              <div className="sense-person-head">
                {person.performer_id ? (
                  <Link to={`/performers/${person.performer_id}`}>{name}</Link>
                ) : (
                  <span>{name}</span>
                )}
                <Confidence value={person.confidence} />
              </div>
              <div className="text-muted sense-small">
                in {several(person.frames, "frame")} ({percent(person.share)} of all)
                {person.best?.time_s === null || person.best?.time_s === undefined ? null : (
                  <>
                    , best at <SceneLink id={scene.id} title={clock(person.best.time_s)} at={person.best.time_s} />
                  </>
                )}
                {person.performer_id ? "" : "; Stash has no performer of that id yet"}
              </div>
              <Timeline
                ranges={person.ranges}
                durationS={durationS}
                name={name}
                jump={(second) => history.push(`/scenes/${scene.id}?t=${Math.floor(second)}`)}
              />
              <Nearest near={person.candidates.filter((one) => one.universal_id !== person.universal_id)} />
            </div>
          </article>
        );
      })}
    </>
  );
};
