// Bulk accept: what will change for each, what is left out and why, then one job of the server with its live progress.
import React from "react";
import { Button, Modal } from "react-bootstrap";
import { useAsk, useDoing } from "../hooks";
import { Failure, Shown } from "../parts/states";
import type { Job } from "../types";
import { several } from "../words";
import { acceptBulk, previewBulk } from "./asking";
import type { Chosen } from "./asking";
import { Changes } from "./Changes";
import { JobProgress } from "./JobProgress";
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
          <>
            <JobProgress first={started} title={action.title} ended={changed} />
            <p className="text-muted mb-0">
              This goes on when the dialog or the page is closed. What is done is listed under “What was done”, with
              undo.
            </p>
          </>
        ) : (
          <Shown asked={preview} loading="Looking at what will change …">
            {(shown) => (
              <>
                <p className="sense-plan">
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
            onClick={() => void run(async () => setStarted(await acceptBulk(action.id, plan.digest)))}
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
  for (const one of skipped) {
    const reason = one.reason.replace(`Recommendation ${one.recommendation_id} does`, "This one does");
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
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
