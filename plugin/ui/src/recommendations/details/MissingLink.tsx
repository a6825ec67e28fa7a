// A performer who is known to a stash-box and not linked to it.
import React from "react";
import { Link } from "react-router-dom";
import { shownName } from "../../locals";
import { percent, several } from "../../words";
import { picture } from "../pictures";
import type { MissingLinkDetails } from "../records";
import { Reasons } from "./facts";
import type { DetailProps } from "./facts";

export const MissingLink: React.FC<DetailProps<MissingLinkDetails>> = ({ details }) => {
  const { performer } = details;
  const host = new URL(details.endpoint).host;
  return (
    <>
      <div className="sense-beside sense-beside-portrait">
        <img
          className="sense-half-portrait"
          src={picture("performer", performer.id)}
          alt={`Portrait of ${performer.name}`}
        />
        <div>
          <p className="lead">
            <Link to={`/performers/${performer.id}`}>{performer.name}</Link> is {shownName(details.name)} of {host}
          </p>
          <dl className="sense-facts">
            <dt>Entry</dt>
            <dd className="sense-break">
              <a
                href={`https://${host}/performers/${encodeURIComponent(details.stash_id)}`}
                target="_blank"
                rel="noreferrer"
              >
                {details.stash_id}
              </a>
            </dd>
            <dt>Sure to</dt>
            <dd>{percent(details.confidence)}</dd>
            <dt>In Stash</dt>
            <dd>{several(performer.scene_count, "scene")}</dd>
            {details.scenes.length ? (
              <>
                <dt>Seen in</dt>
                <dd>{several(details.scenes.length, "scene")} of the performer</dd>
              </>
            ) : null}
          </dl>
        </div>
      </div>
      <Reasons reasons={details.reasons} />
    </>
  );
};
