import React from "react";
import type { IconDefinition } from "@fortawesome/free-solid-svg-icons";

/** An icon of Font Awesome, drawn here: Stash hands out the drawings since 0.24, the component since 0.31 only. */
export const Icon: React.FC<{ icon: IconDefinition | undefined; className?: string; spin?: boolean }> = (props) => {
  if (!props.icon) return null;
  const [width, height, , , paths] = props.icon.icon;
  return (
    <svg
      className={`sense-icon ${props.spin ? "sense-icon-spin" : ""} ${props.className ?? ""}`}
      viewBox={`0 0 ${width} ${height}`}
      aria-hidden="true"
      focusable="false"
    >
      {(Array.isArray(paths) ? paths : [paths]).map((path) => (
        <path key={path} d={path} fill="currentColor" />
      ))}
    </svg>
  );
};
