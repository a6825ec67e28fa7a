import React from "react";
import { Button } from "react-bootstrap";
import { count } from "../words";

/** Previous and next of a long list; nothing where all fits on one page. */
export const Pages: React.FC<{ total: number; size: number; offset: number; go: (offset: number) => void }> = (
  props,
) => {
  const { total, size, offset, go } = props;
  if (total <= size) return null;
  return (
    <nav className="sense-pages" aria-label="Pages">
      <Button variant="secondary" disabled={offset === 0} onClick={() => go(Math.max(0, offset - size))}>
        Previous
      </Button>
      <span>
        {count(offset + 1)} to {count(Math.min(total, offset + size))} of {count(total)}
      </span>
      <Button variant="secondary" disabled={offset + size >= total} onClick={() => go(offset + size)}>
        Next
      </Button>
    </nav>
  );
};
