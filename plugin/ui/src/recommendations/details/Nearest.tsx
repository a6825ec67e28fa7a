import React from "react";
import { shownName } from "../../locals";
import { percent } from "../../words";
import type { Near } from "../records";

/** Who else somebody may be. */
export const Nearest: React.FC<{ near: Near[]; words?: string }> = ({ near, words = "Less likely" }) =>
  near.length ? (
    <div className="text-muted sense-small">
      {words}:{" "}
      {near
        .slice(0, 5)
        .map((one) =>
          one.confidence === undefined ? shownName(one.name) : `${shownName(one.name)} (${percent(one.confidence)})`,
        )
        .join(", ")}
    </div>
  ) : null;
