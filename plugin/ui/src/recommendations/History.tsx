// What was done in Stash, newest first, each with its changes and an undo.
import React from "react";
import { Badge, Button } from "react-bootstrap";
import { faClockRotateLeft, faRotateLeft } from "@fortawesome/free-solid-svg-icons";
import { useAsk, useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { Empty, Failure, Shown } from "../parts/states";
import { plain, when } from "../words";
import { action, history, undo } from "./asking";
import { Changes } from "./Changes";
import type { ActionEntry } from "./records";
import { undone } from "./undone";

export const History: React.FC<{ say: (text: string) => void }> = ({ say }) => {
  const [cursors, setCursors] = React.useState<(number | null)[]>([null]);
  const cursor = cursors[cursors.length - 1] ?? null;
  const asked = useAsk(() => history(cursor), `history ${cursor ?? ""}`);
  return (
    <section aria-label="What was done">
      <Shown asked={asked}>
        {(page) => (
          <>
            {page.actions.length ? null : (
              <Empty title="Nothing was done yet" icon={faClockRotateLeft}>
                What is accepted is listed here and can be undone.
              </Empty>
            )}
            <ul className="sense-findings">
              {page.actions.map((entry) => (
                <Entry key={entry.action_id} entry={entry} changed={asked.reload} say={say} />
              ))}
            </ul>
            <div className="sense-buttons">
              {cursors.length > 1 ? (
                <Button variant="secondary" onClick={() => setCursors(cursors.slice(0, -1))}>
                  Newer
                </Button>
              ) : null}
              {page.next_cursor ? (
                <Button variant="secondary" onClick={() => setCursors([...cursors, page.next_cursor])}>
                  Older
                </Button>
              ) : null}
            </div>
          </>
        )}
      </Shown>
    </section>
  );
};

const Entry: React.FC<{ entry: ActionEntry; changed: () => void; say: (text: string) => void }> = (props) => {
  const { entry } = props;
  const { doing, error, run } = useDoing();
  const [open, setOpen] = React.useState(false);
  const may = entry.undoable && entry.undo_state !== "undone" && (entry.state === "done" || entry.state === "failed");
  const state = entry.undo_state ?? entry.state;
  return (
    <li className="sense-done" data-action={entry.action_id} data-state={state}>
      <div className="sense-done-head">
        <span className="sense-finding-text">
          <span className="sense-finding-title">{entry.title}</span>
          <span className="text-muted sense-small">{when(entry.created_at)}</span>
        </span>
        <Badge variant={state === "done" ? "success" : state === "failed" ? "danger" : "secondary"}>
          {plain(state)}
        </Badge>
        <span className="sense-buttons">
          <Button size="sm" variant="secondary" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide changes" : "Changes"}
          </Button>
          {may ? (
            <Button
              size="sm"
              variant="secondary"
              disabled={doing}
              onClick={() =>
                void run(async () => {
                  props.say(undone(await undo(entry.action_id)));
                  props.changed();
                })
              }
            >
              <Icon icon={faRotateLeft} spin={doing} /> Undo
            </Button>
          ) : null}
        </span>
      </div>
      {entry.error_message ? <div className="sense-bad">{entry.error_message}</div> : null}
      {error ? <Failure error={error} /> : null}
      {open ? <Told id={entry.action_id} /> : null}
    </li>
  );
};

const Told: React.FC<{ id: number }> = ({ id }) => {
  const asked = useAsk(() => action(id), `action ${id}`);
  return (
    <Shown asked={asked}>
      {(told) => (
        <>
          <Changes changes={told.changes} />
          {[...(told.undo_report?.conflicts ?? []), ...(told.undo_report?.lost ?? [])].map((sentence) => (
            <div key={sentence} className="sense-bad">
              {sentence}
            </div>
          ))}
        </>
      )}
    </Shown>
  );
};
