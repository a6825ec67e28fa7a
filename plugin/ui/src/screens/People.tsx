// People: who can be named, whom nobody knows yet, and who is never named.
import React from "react";
import { Button } from "react-bootstrap";
import { useInUrl } from "../hooks";
import { Enrolled } from "../people/Enrolled";
import { Excluded } from "../people/Excluded";
import { Unknown } from "../people/Unknown";

const VIEWS: [string, string, React.FC][] = [
  ["", "Enrolled", Enrolled],
  ["unknown", "Unknown", Unknown],
  ["excluded", "Excluded", Excluded],
];

export const People: React.FC = () => {
  const [view, setView] = useInUrl("view");
  const [, setFrom] = useInUrl("from");
  const Shown = VIEWS.find(([id]) => id === view)?.[2] ?? Enrolled;
  return (
    <>
      <div className="sense-filters">
        <div className="btn-group" role="group" aria-label="Which people">
          {VIEWS.map(([id, title]) => (
            <Button
              key={id}
              variant="secondary"
              active={view === id}
              aria-pressed={view === id}
              onClick={() => {
                setView(id);
                setFrom(""); // another list begins at its first page
              }}
            >
              {title}
            </Button>
          ))}
        </div>
      </div>
      <Shown />
    </>
  );
};
