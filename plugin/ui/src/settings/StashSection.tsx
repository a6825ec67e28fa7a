import React from "react";
import { faCircleCheck, faCircleXmark } from "@fortawesome/free-solid-svg-icons";
import { call } from "../backend";
import { useAsk } from "../hooks";
import { Icon } from "../parts/Icon";
import { Pairing } from "../parts/Pairing";
import { Shown } from "../parts/states";
import { several } from "../words";
import { StashBoxes } from "./StashBoxes";

/** The Stash that the server works for, and the stash-boxes that are set there. */
export const StashSection: React.FC = () => {
  const asked = useAsk(() => call("stash"), "stash");
  return (
    <Shown asked={asked}>
      {(stash) => (
        <>
          {stash.can_pair ? <Pairing done={asked.reload} /> : null}
          {stash.url ? (
            <p>
              <Icon
                icon={stash.answers ? faCircleCheck : faCircleXmark}
                className={stash.answers ? "sense-good" : "sense-bad"}
              />{" "}
              <span className="sense-break">{stash.url}</span>{" "}
              {stash.answers ? `answers, version ${stash.version}` : stash.problem?.message}
            </p>
          ) : null}
          {stash.answers ? (
            <p className="text-muted">
              {several(stash.scenes, "scene")}, {several(stash.images, "image")},{" "}
              {several(stash.galleries, "gallery", "galleries")}, {several(stash.performers, "performer")}
            </p>
          ) : null}
          <h5>Stash-boxes</h5>
          <StashBoxes boxes={stash.stash_boxes} changed={asked.reload} />
        </>
      )}
    </Shown>
  );
};
