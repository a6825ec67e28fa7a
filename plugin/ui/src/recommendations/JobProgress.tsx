// One job of the server, live.
import React from "react";
import { Button } from "react-bootstrap";
import { useAsk, useDoing } from "../hooks";
import { JobLine } from "../parts/JobLine";
import { Failure } from "../parts/states";
import type { Job } from "../types";
import { job, stop } from "./asking";

const LIVE = new Set(["queued", "running", "stopping"]);

/** A job as it goes on, with a button that stops it; `ended` is called once. */
export const JobProgress: React.FC<{ first: Job; title: string; ended: () => void }> = ({ first, title, ended }) => {
  const asked = useAsk(
    () => job(first.id),
    `job ${first.id}`,
    (data) => (!data || LIVE.has(data.state) ? 1000 : 0),
  );
  const { doing, error, run } = useDoing();
  const now = asked.data ?? first;
  const live = LIVE.has(now.state);
  const told = React.useRef(false);
  React.useEffect(() => {
    if (live || told.current) return;
    told.current = true;
    ended();
  }, [live, ended]);
  return (
    <>
      {error ? <Failure error={error} /> : null}
      {asked.error ? <Failure error={asked.error} retry={asked.reload} /> : null}
      <JobLine job={now} title={title}>
        {live ? (
          <Button
            size="sm"
            variant="secondary"
            disabled={doing || now.state === "stopping"}
            onClick={() => void run(() => stop(now.id))}
          >
            Stop
          </Button>
        ) : null}
      </JobLine>
    </>
  );
};
