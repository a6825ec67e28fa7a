// One recommendation: its details, what can be done about it, and the way to the next one.
import React from "react";
import { Badge, Button, Dropdown } from "react-bootstrap";
import { Link } from "react-router-dom";
import {
  faArrowLeft,
  faBan,
  faChevronLeft,
  faChevronRight,
  faRotateLeft,
  faUserPen,
} from "@fortawesome/free-solid-svg-icons";
import { useAsk, useDoing } from "../hooks";
import { shownName } from "../locals";
import { Boundary } from "../parts/Boundary";
import { Confidence } from "../parts/faces";
import { Icon } from "../parts/Icon";
import { Failure, Shown } from "../parts/states";
import { titled, when } from "../words";
import { AcceptOne } from "./AcceptOne";
import { dismiss, one, reject, restore, restoreBatch, undo, unreject } from "./asking";
import { DetailsOf } from "./details/Details";
import { KeyHelp } from "./KeyHelp";
import { useKeys } from "./keys";
import { named, NamePerson } from "./NamePerson";
import { UNKNOWN_PERSON } from "./naming";
import type { Notices } from "./notices";
import type {
  Mode,
  Offered,
  OfferedAction,
  Recommendation,
  SeenPerson,
  TypeInfo,
  UnidentifiedSceneDetails,
} from "./records";
import { undone } from "./undone";

interface Props {
  id: number;
  /** From the list, if it is on this page of it. */
  listed: Recommendation | undefined;
  types: TypeInfo[];
  place: string;
  back: string;
  step: (by: 1 | -1) => void;
  /** It is decided: what comes next is shown. */
  decided: () => void;
  changed: () => void;
  notices: Notices;
}

export const Review: React.FC<Props> = (props) => {
  const { listed, id } = props;
  const asked = useAsk(() => (listed ? Promise.resolve(listed) : one(id)), `${id} ${listed?.updated_at ?? ""}`);
  return (
    <section className="sense-review" aria-label="Recommendation">
      <Shown asked={asked}>
        {(shown) => <Reviewed key={`${shown.id} ${shown.updated_at}`} {...props} shown={shown} />}
      </Shown>
    </section>
  );
};

const MODES: Record<Mode, string> = { until_changed: "until it changes", forever: "for ever" };
/** What "for ever" means for findings that say "this is that". */
const NEVER: Record<string, string> = {
  unknown_person: "Ignore for ever",
  duplicate_scenes: "Not duplicates",
  duplicate_performers: "Not one person",
  duplicate_images: "Not duplicates",
};

const Reviewed: React.FC<Props & { shown: Recommendation }> = (props) => {
  const { shown, types, notices, changed, decided, step } = props;
  const type = types.find((known) => known.id === shown.type);
  const [offered, offer] = React.useState(shown.details.actions ?? {});
  const [accepting, setAccepting] = React.useState<OfferedAction>();
  const { doing, error, run } = useDoing();
  const unknown = shown.type === UNKNOWN_PERSON;
  const [naming, setNaming] = React.useState(false);
  const actions = unknown ? [] : offers(type, offered);
  const pending = shown.status === "pending";

  const away = (mode: Mode) => {
    if (!pending || doing) return;
    void run(async () => {
      const { batch } = await dismiss({ ids: [shown.id] }, mode);
      notices.say({
        text: `Dismissed ${MODES[mode]}: ${shown.title}`,
        undo: batch ? async () => restoreBatch(batch).then(() => `Open again: ${shown.title}`) : undefined,
      });
      decided();
    });
  };
  const notHere = (person: SeenPerson) =>
    void run(async () => {
      const rejected = { kind: "scene" as const, content_id: shown.target_id, universal_id: person.universal_id };
      await reject(rejected);
      notices.say({
        text: `${nameOf(person)} is never suggested again in ${shown.title}.`,
        undo: async () => unreject(rejected).then(() => `Open again: ${shown.title}`),
      });
      decided();
    });
  const again = () =>
    void run(async () => {
      await restore(shown.id);
      notices.say({ text: `Open again: ${shown.title}` });
      changed();
    });
  const first = actions[0];
  useKeys({
    j: () => step(1),
    ArrowRight: () => step(1),
    k: () => step(-1),
    ArrowLeft: () => step(-1),
    a: () => (pending && unknown ? setNaming(true) : pending && first && setAccepting(first)),
    d: () => away("until_changed"),
    D: () => away("forever"),
    u: notices.undo,
    Escape: () => document.querySelector<HTMLAnchorElement>(".sense-review .sense-back")?.click(),
  });

  return (
    <>
      <div className="sense-review-bar">
        <Link className="btn btn-secondary sense-back" to={props.back}>
          <Icon icon={faArrowLeft} /> List
        </Link>
        <span className="sense-review-steps">
          <Button variant="secondary" aria-label="Previous" onClick={() => step(-1)}>
            <Icon icon={faChevronLeft} />
          </Button>
          <span className="text-muted">{props.place}</span>
          <Button variant="secondary" aria-label="Next" onClick={() => step(1)}>
            <Icon icon={faChevronRight} />
          </Button>
        </span>
        <span className="sense-buttons sense-review-actions">
          {pending ? (
            <>
              {actions.map((action, place) => (
                <Button
                  key={action.id}
                  variant={place ? "secondary" : action.destructive ? "danger" : "primary"}
                  disabled={doing}
                  onClick={() => setAccepting(action)}
                >
                  {action.title} …
                </Button>
              ))}
              {unknown ? (
                <Button disabled={doing} onClick={() => setNaming(true)}>
                  <Icon icon={faUserPen} /> Name …
                </Button>
              ) : null}
              {shown.type === "unidentified_scene"
                ? (shown.details as unknown as UnidentifiedSceneDetails).people.map((person) => (
                    <Button
                      key={person.universal_id}
                      variant="secondary"
                      disabled={doing}
                      title="Never suggest this person in this scene again"
                      onClick={() => notHere(person)}
                    >
                      <Icon icon={faBan} /> Not {nameOf(person)}
                    </Button>
                  ))
                : null}
              {NEVER[shown.type] ? (
                <Button variant="secondary" disabled={doing} onClick={() => away("forever")}>
                  {NEVER[shown.type]}
                </Button>
              ) : null}
              <Dropdown as="span">
                <Dropdown.Toggle variant="secondary" id={`sense-dismiss-${shown.id}`} disabled={doing}>
                  Dismiss
                </Dropdown.Toggle>
                <Dropdown.Menu alignRight>
                  <Dropdown.Item as="button" onClick={() => away("until_changed")}>
                    Until it changes
                  </Dropdown.Item>
                  <Dropdown.Item as="button" onClick={() => away("forever")}>
                    For ever
                  </Dropdown.Item>
                </Dropdown.Menu>
              </Dropdown>
            </>
          ) : (
            <Decided shown={shown} doing={doing} again={again} run={run} changed={changed} notices={notices} />
          )}
        </span>
      </div>
      {error ? <Failure error={error} /> : null}
      <header className="sense-review-head">
        <div className="text-muted">{type?.title ?? shown.type}</div>
        <h3>
          {shown.title} <Confidence value={shown.confidence / 100} />
          {pending ? null : <Badge variant="secondary">{shown.status}</Badge>}
        </h3>
        <p>{shown.summary}</p>
      </header>
      <Boundary>
        <DetailsOf recommendation={shown} details={shown.details} offered={offered} offer={offer} />
      </Boundary>
      <KeyHelp
        keys={[
          ["J", "next"],
          ["K", "previous"],
          ["A", "accept"],
          ["D", "dismiss until it changes"],
          ["Shift D", "for ever"],
          ["U", "undo"],
          ["Esc", "list"],
        ]}
      />
      {naming ? (
        <NamePerson
          recommendation={shown}
          close={() => setNaming(false)}
          done={(accepted, title) => {
            setNaming(false);
            notices.say(named(accepted, title));
            decided();
          }}
        />
      ) : null}
      {accepting ? (
        <AcceptOne
          recommendation={shown}
          action={accepting}
          params={offered[accepting.id] ?? {}}
          close={() => setAccepting(undefined)}
          done={(accepted, title) => {
            setAccepting(undefined);
            notices.say({
              text: title,
              undo: accepted.undoable ? async () => undone(await undo(accepted.action_id)) : undefined,
            });
            decided();
          }}
        />
      ) : null}
    </>
  );
};

const nameOf = (person: SeenPerson): string => shownName(person.performer_name ?? person.name);

/** What can be done about it, in the order of its type. */
function offers(type: TypeInfo | undefined, offered: Offered): OfferedAction[] {
  const known = (type?.actions ?? []).filter((action) => action.id in offered);
  const others = Object.keys(offered).filter((id) => !known.some((action) => action.id === id));
  return [...known, ...others.map((id) => ({ id, title: titled(id), destructive: false }))];
}

const Decided: React.FC<{
  shown: Recommendation;
  doing: boolean;
  again: () => void;
  run: ReturnType<typeof useDoing>["run"];
  changed: () => void;
  notices: Notices;
}> = ({ shown, doing, again, run, changed, notices }) => {
  const { action_id: action, dismissal } = shown;
  const took = dismissal ? `dismissed ${MODES[dismissal.mode]}, ${when(dismissal.at)}` : shown.reason;
  return (
    <>
      <span className="text-muted sense-small">{took}</span>
      {shown.status === "resolved" && action ? (
        <Button
          variant="secondary"
          disabled={doing}
          onClick={() =>
            void run(async () => {
              notices.say({ text: undone(await undo(action)) });
              changed();
            })
          }
        >
          <Icon icon={faRotateLeft} /> Undo
        </Button>
      ) : shown.status === "closed" ? null : (
        <Button variant="secondary" disabled={doing} onClick={again}>
          <Icon icon={faRotateLeft} /> Open again
        </Button>
      )}
    </>
  );
};
