// Bulk accept: what will change for each, what is left out and why, then one job of the server with its live progress.
import React from "react";
import { Button, Modal } from "react-bootstrap";
import { useAsk, useDoing } from "../hooks";
import { JobLine } from "../parts/JobLine";
import { Failure, Shown } from "../parts/states";
import type { Job } from "../types";
import { several } from "../words";
import { acceptBulk, job, previewBulk, stop } from "./asking";
import type { Chosen } from "./asking";
import { Changes } from "./Changes";
import type { BulkPreview, OfferedAction } from "./records";

interface Props {
  chosen: Chosen;
  action: OfferedAction;
  close: () => void;
  /** The job has ended. */
  changed: () => void;
}

export const AcceptMany: React.FC<Props> = ({ chosen, action, close, changed }) => {
  const preview = useAsk(() => previewBulk(chosen, action.id), action.id);
  const { doing, error, run } = useDoing();
  const [started, setStarted] = React.useState<Job>();
  const plan = preview.data;
  const accepted = plan?.recommendations ?? 0;
  return (
    <Modal show onHide={close} size="xl" scrollable aria-labelledby="sense-bulk-title">
      <Modal.Header closeButton>
        <Modal.Title id="sense-bulk-title">{action.title}</Modal.Title>
      </Modal.Header>
      <Modal.Body>
        {error ? <Failure error={error} /> : null}
        {started ? (
          <Progress first={started} title={action.title} ended={changed} />
        ) : (
          <Shown asked={preview} loading="Looking at what will change …">
            {(shown) => (
              <>
                <p className="lead">
                  {several(shown.changes.length, "change")} for {several(accepted, "recommendation")}
                  {shown.skipped.length ? `; ${several(shown.skipped.length, "recommendation")} left out` : ""}
                </p>
                <Changes changes={shown.changes} />
                <Skipped skipped={shown.skipped} />
                <Lost sentences={shown.not_undone} />
              </>
            )}
          </Shown>
        )}
      </Modal.Body>
      <Modal.Footer>
        <Button variant="secondary" onClick={close}>
          {started ? "Close" : "Cancel"}
        </Button>
        {plan && !started ? (
          <Button
            variant={plan.destructive ? "danger" : "primary"}
            disabled={doing || !accepted}
            onClick={() => void run(async () => setStarted(await acceptBulk(chosen, action.id, plan.digest)))}
          >
            {action.title}: {several(accepted, "recommendation")}
          </Button>
        ) : null}
      </Modal.Footer>
    </Modal>
  );
};

const Lost: React.FC<{ sentences: string[] }> = ({ sentences }) =>
  sentences.length ? (
    <>
      <h5>What an undo does not bring back</h5>
      <ul>
        {sentences.slice(0, 20).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
    </>
  ) : null;

const Skipped: React.FC<{ skipped: BulkPreview["skipped"] }> = ({ skipped }) => {
  const reasons = new Map<string, number>();
  for (const one of skipped) reasons.set(one.reason, (reasons.get(one.reason) ?? 0) + 1);
  if (!reasons.size) return null;
  return (
    <>
      <h5>Left out</h5>
      <ul>
        {[...reasons].slice(0, 20).map(([reason, number]) => (
          <li key={reason}>
            {several(number, "recommendation")}: {reason}
          </li>
        ))}
      </ul>
    </>
  );
};

const LIVE = new Set(["queued", "running", "stopping"]);

const Progress: React.FC<{ first: Job; title: string; ended: () => void }> = ({ first, title, ended }) => {
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
      <p className="text-muted mb-0">
        {live
          ? "This goes on when the dialog or the page is closed."
          : "What was done is listed under “What was done”, with undo."}
      </p>
    </>
  );
};
