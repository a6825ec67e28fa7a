// The dialog before an action is done: exactly what will change, what no undo brings back, and the button.
import React from "react";
import { Button, Modal } from "react-bootstrap";
import { useAsk, useDoing } from "../hooks";
import { Failure, Shown } from "../parts/states";
import { accept, previewAction } from "./asking";
import type { Accepted } from "./asking";
import { Changes } from "./Changes";
import type { OfferedAction, Params, Recommendation } from "./records";

interface Props {
  recommendation: Recommendation;
  action: OfferedAction;
  params: Params;
  close: () => void;
  done: (accepted: Accepted, title: string) => void;
}

export const AcceptOne: React.FC<Props> = ({ recommendation, action, params, close, done }) => {
  const preview = useAsk(() => previewAction(action.id, params), `${action.id} ${JSON.stringify(params)}`);
  const { doing, error, run } = useDoing();
  const plan = preview.data;
  const button = React.useRef<HTMLButtonElement>(null);
  const ready = plan !== undefined;
  // The preview has just been read: Enter goes on, Escape does not.
  React.useEffect(() => {
    if (ready) button.current?.focus();
  }, [ready]);
  const go = () =>
    void run(async () => {
      if (!plan) return;
      const accepted = await accept(recommendation, action.id, params, plan.digest);
      done(accepted, plan.title);
    });
  return (
    <Modal show onHide={close} size="xl" scrollable aria-labelledby="sense-accept-title">
      <Modal.Header closeButton>
        <Modal.Title id="sense-accept-title">{action.title}</Modal.Title>
      </Modal.Header>
      <Modal.Body>
        {error ? <Failure error={error} /> : null}
        <Shown asked={preview} loading="Looking at what will change …">
          {(shown) => (
            <>
              <p className="sense-plan">{shown.title}</p>
              <Changes changes={shown.changes} />
              {shown.undoable ? null : <div className="alert alert-warning">This cannot be undone by Stash Sense.</div>}
              {shown.not_undone.length ? (
                <div className="sense-small text-muted">
                  An undo does not bring everything back:
                  <ul className="mb-0">
                    {shown.not_undone.map((sentence) => (
                      <li key={sentence}>{sentence}</li>
                    ))}
                  </ul>
                </div>
              ) : null}
            </>
          )}
        </Shown>
      </Modal.Body>
      <Modal.Footer>
        <Button variant="secondary" onClick={close}>
          Cancel
        </Button>
        {plan ? (
          <Button ref={button} variant={plan.destructive ? "danger" : "primary"} disabled={doing} onClick={go}>
            {doing ? "Working …" : action.title}
          </Button>
        ) : null}
      </Modal.Footer>
    </Modal>
  );
};
