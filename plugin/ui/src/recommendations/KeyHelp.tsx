import React from "react";
import { faKeyboard } from "@fortawesome/free-solid-svg-icons";
import { Icon } from "../parts/Icon";

/** The keys that work here, always in sight where there is room for them. */
export const KeyHelp: React.FC<{ keys: [string, string][] }> = ({ keys }) => (
  <div className="sense-keys text-muted sense-small" role="note" aria-label="Keys">
    <Icon icon={faKeyboard} />
    {keys.map(([key, does]) => (
      <span key={key}>
        <kbd>{key}</kbd> {does}
      </span>
    ))}
  </div>
);
