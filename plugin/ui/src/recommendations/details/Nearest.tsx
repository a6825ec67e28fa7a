import React from "react";
import { shownName } from "../../locals";
import { percent } from "../../words";
import type { Near } from "../records";

const LEAST = 0.005; // what is not 1 % when rounded says nothing

/** Who else somebody may be. */
export const Nearest: React.FC<{ near: Near[]; words?: string }> = ({ near, words = "Less likely" }) => {
  const shown = near.filter((one) => (one.confidence ?? 1) >= LEAST).slice(0, 5);
  return shown.length ? (
    <div className="text-muted sense-small">
      {words}:{" "}
      {shown
        .map((one) =>
          one.confidence === undefined ? shownName(one.name) : `${shownName(one.name)} (${percent(one.confidence)})`,
        )
        .join(", ")}
    </div>
  ) : null;
};
