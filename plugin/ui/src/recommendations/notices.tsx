// What was just done, with its undo; it stays until the next one or until it is closed.
import React from "react";
import { Button } from "react-bootstrap";
import { faXmark } from "@fortawesome/free-solid-svg-icons";
import { useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { Failure } from "../parts/states";

export interface Notice {
  text: string;
  /** Returns what is said afterwards. */
  undo?: (() => Promise<string>) | undefined;
  /** What it is good to do next; returns what is said then. */
  next?: { title: string; go: () => Promise<string> } | undefined;
}

export interface Notices {
  now: Notice | undefined;
  say: (notice: Notice | undefined) => void;
  /** Undoes what was said last, if it can be. */
  undo: () => void;
  /** Does what was said to come next. */
  next: () => void;
  doing: ReturnType<typeof useDoing>;
}

export function useNotices(changed: () => void): Notices {
  const [now, setNow] = React.useState<Notice>();
  const doing = useDoing();
  const { clear, run } = doing;
  const say = React.useCallback(
    (notice: Notice | undefined) => {
      clear();
      setNow(notice);
    },
    [clear],
  );
  const undo = () => {
    const undoing = now?.undo;
    if (!undoing || doing.doing) return;
    void run(async () => {
      setNow({ text: await undoing() });
      changed();
    });
  };
  const next = () => {
    const going = now?.next;
    if (!going || doing.doing) return;
    void run(async () => setNow({ text: await going.go(), undo: now.undo }));
  };
  return { now, say, undo, next, doing };
}

export const NoticeBar: React.FC<{ notices: Notices }> = ({ notices }) => {
  const { now, doing } = notices;
  return (
    <div className="sense-notices" role="status" aria-live="polite">
      {doing.error ? <Failure error={doing.error} /> : null}
      {now ? (
        <div className="sense-notice">
          <span className="sense-notice-text">{now.text}</span>
          {now.next ? (
            <Button size="sm" disabled={doing.doing} onClick={notices.next}>
              {now.next.title}
            </Button>
          ) : null}
          {now.undo ? (
            <Button size="sm" variant="secondary" disabled={doing.doing} onClick={notices.undo}>
              {doing.doing ? "Undoing …" : "Undo"}
            </Button>
          ) : null}
          <Button size="sm" variant="link" aria-label="Close" onClick={() => notices.say(undefined)}>
            <Icon icon={faXmark} />
          </Button>
        </div>
      ) : null}
    </div>
  );
};
