// Who is in a scene, image, gallery or portrait: asking, the people, and what has been done about them.
import React from "react";
import { Button, Form } from "react-bootstrap";
import { faEye, faRotate, faUserCheck } from "@fortawesome/free-solid-svg-icons";
import { faFaceMeh } from "@fortawesome/free-solid-svg-icons";
import { perform, performAll, undo } from "../actions";
import type { Done } from "../actions";
import { call, Failed } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { boxEndpoints, findLocals, parts, taggedOn } from "../locals";
import type { Local } from "../locals";
import { SURE } from "../parts/faces";
import { Icon } from "../parts/Icon";
import { Empty, Failure, Loading } from "../parts/states";
import { refreshStash } from "../stash";
import type { FoundPerson } from "../types";
import { ago, several } from "../words";
import { identify, identities, stored } from "./asking";
import type { Identity, Seen, Target } from "./asking";
import { PersonCard } from "./PersonCard";
import type { Doings } from "./PersonCard";

/** A group picture has dozens of strangers, and each face is cut from its file. */
const FIRST = 12;

const TYPENAMES = { scene: "Scene", image: "Image", gallery: "Gallery", performer: "Performer" } as const;

interface Note {
  text: string;
  done?: Done | undefined;
}

export const IdentifyPanel: React.FC<{ target: Target }> = ({ target }) => {
  const key = `${target.entity} ${target.id}`;
  const start = useAsk(() => stored(target), key);
  const [looked, setLooked] = React.useState<{ key: string; seen: Seen }>();
  const looking = useDoing();
  const doing = useDoing();
  const [notes, setNotes] = React.useState<Note[]>([]);
  const [gone, setGone] = React.useState<Set<string>>(new Set());
  const [shown, setShown] = React.useState(key);
  if (shown !== key) {
    setShown(key);
    setNotes([]);
    setGone(new Set());
  }
  const seen = looked?.key === key ? looked.seen : start.data;

  const look = (fresh: boolean) => looking.run(async () => setLooked({ key, seen: await identify(target, fresh) }));
  const refresh = async () => {
    await refreshStash(TYPENAMES[target.entity], target.id);
    if (seen) setLooked({ key, seen: { ...seen, ...(await again(target, seen)) } });
  };
  const act = (text: string, work: () => Promise<Done | Done[] | undefined>) =>
    doing.run(async () => {
      const done = await work();
      const all = Array.isArray(done) ? done : [done];
      setNotes((before) => [...all.map((one) => ({ text: one?.title ?? text, done: one })), ...before]);
      await refresh();
    });

  const here = { entity: target.entity, entity_id: target.id };
  const does: Doings = {
    doing: doing.doing,
    add: (local) =>
      void act(`Added ${local.name}.`, () => perform("tag_performers", { ...here, performer_ids: [local.id] })),
    create: (who) =>
      void act(`Created ${who.name}.`, () => perform("create_performer", { ...creation(who), tag: here })),
    link: (local, who) => void act(`Linked ${local.name}.`, () => linked(target, local, who)),
    reject: (who) =>
      void act(`${who.name} will not be suggested here again.`, async () => {
        if (target.entity === "performer") return undefined; // a portrait has no suggestions to reject
        const body = { kind: target.entity, content_id: target.id, universal_id: who.universal_id };
        await call("reject", { body });
        setGone((before) => new Set(before).add(who.universal_id));
        return undefined;
      }),
  };

  if (!seen && start.loading) return <Loading text="Looking up …" />;
  return (
    <div className="sense-panel">
      <div className="sense-panel-head">
        <Button size="sm" disabled={looking.doing} onClick={() => void look(Boolean(seen))}>
          <Icon icon={seen ? faRotate : faEye} spin={looking.doing} /> {seen ? "Look again" : "Identify"}
        </Button>
        <span className="text-muted sense-small">
          {looking.doing ? "Looking … this takes some seconds for a scene." : seen ? told(target, seen) : ""}
        </span>
      </div>
      {start.error ? <Failure error={start.error} retry={start.reload} /> : null}
      {looking.error ? <Failure error={looking.error} /> : null}
      {doing.error ? <Failure error={doing.error} /> : null}
      <Notes notes={notes} set={setNotes} refresh={refresh} />
      {seen ? <People target={target} seen={seen} gone={gone} does={does} act={act} /> : null}
      {!seen && !looking.doing && !start.error && !looking.error ? (
        <Empty title="Not looked at yet" icon={faFaceMeh}>
          {target.entity === "scene" || target.entity === "image"
            ? `Stash Sense has no scan of this ${target.entity}.`
            : "Identify asks the server who is in it."}
        </Empty>
      ) : null}
    </div>
  );
};

async function again(target: Target, seen: Seen): Promise<Partial<Seen>> {
  const wanted = [...seen.answer.people, ...seen.answer.unknown].flatMap((person) => identities(person));
  const locals = await findLocals(wanted);
  return target.entity === "performer" ? { locals } : { locals, tagged: await taggedOn(target.entity, target.id) };
}

/** What the server needs to make a performer: it fills in what its database knows of the id. */
const creation = (who: Identity) => ({ universal_id: who.universal_id });

async function linked(target: Target, local: Local, who: Identity): Promise<Done[]> {
  const wanted: { action: string; params: Record<string, unknown> }[] = [];
  const [domain, stashId] = parts(who.universal_id);
  const endpoint = (await boxEndpoints())[domain];
  if (endpoint) {
    const params = { entity: "performer", entity_id: local.id, endpoint, stash_id: stashId };
    wanted.push({ action: "link_stash_id", params });
  }
  if (!endpoint && target.entity === "performer") throw unused(domain);
  if (target.entity !== "performer") {
    const params = { entity: target.entity, entity_id: target.id, performer_ids: [local.id] };
    wanted.push({ action: "tag_performers", params });
  }
  return performAll(wanted);
}

const unused = (domain: string) =>
  new Failed({
    code: "box_not_used",
    message: `${domain} is no stash-box that is used.`,
    hint: "See Settings, Stash, on the page of Stash Sense.",
    status: 0,
    retry_after_s: null,
  });

function told(target: Target, seen: Seen): string {
  const { answer } = seen;
  const people = several(answer.people.length + answer.unknown.length, "person", "people");
  if (target.entity === "performer") return people;
  const looked = target.entity === "scene" ? ` in ${several(answer.frames, "frame")}` : "";
  const old = answer.source === "stored" && answer.scanned_at ? `, scanned ${ago(answer.scanned_at)}` : "";
  return `${people}${looked}${old}`;
}

const Notes: React.FC<{ notes: Note[]; set: (notes: Note[]) => void; refresh: () => Promise<void> }> = (props) => {
  const undoing = useDoing();
  return (
    <div role="status" aria-live="polite">
      {undoing.error ? <Failure error={undoing.error} /> : null}
      {props.notes.map((note, place) => (
        <div key={props.notes.length - place} className="sense-note">
          {note.text}{" "}
          {note.done && note.done.undoable !== false ? (
            <Button
              size="sm"
              variant="link"
              disabled={undoing.doing}
              onClick={() =>
                void undoing.run(async () => {
                  const { undo_report: report } = await undo(note.done?.action_id ?? 0);
                  const left = [...(report?.conflicts ?? []), ...(report?.lost ?? [])].join(" ");
                  props.set(props.notes.map((one) => (one === note ? { text: `Undone: ${note.text} ${left}` } : one)));
                  await props.refresh();
                })
              }
            >
              Undo
            </Button>
          ) : null}
        </div>
      ))}
    </div>
  );
};

const People: React.FC<{
  target: Target;
  seen: Seen;
  gone: Set<string>;
  does: Doings;
  act: (text: string, work: () => Promise<Done[]>) => Promise<unknown>;
}> = ({ target, seen, gone, does, act }) => {
  const people = seen.answer.people.filter((one) => !one.universal_id || !gone.has(one.universal_id));
  const { unknown, warnings } = seen.answer;
  const [all, setAll] = React.useState(false);
  return (
    <>
      {warnings.map((text) => (
        <div key={text} className="alert alert-warning sense-small">
          {text}
        </div>
      ))}
      {target.entity === "gallery" ? (
        <AcceptAll target={target} people={people} seen={seen} does={does} act={act} />
      ) : null}
      {people.length + unknown.length === 0 ? <Empty title="Nobody was seen" icon={faFaceMeh} /> : null}
      {people.map((person) => (
        <PersonCard key={person.universal_id} target={target} person={person} seen={seen} does={does} />
      ))}
      {unknown.length ? (
        <h6 className="sense-panel-sub">{several(unknown.length, "unknown person", "unknown people")}</h6>
      ) : null}
      {(all ? unknown : unknown.slice(0, FIRST)).map((person, place) => (
        <PersonCard key={place} target={target} person={person} seen={seen} does={does} />
      ))}
      {!all && unknown.length > FIRST ? (
        <Button variant="secondary" size="sm" onClick={() => setAll(true)}>
          Show all {unknown.length}
        </Button>
      ) : null}
    </>
  );
};

/** Tags everybody who is sure and known to Stash on the gallery, and on their images if wanted. */
const AcceptAll: React.FC<{
  target: Target;
  people: FoundPerson[];
  seen: Seen;
  does: Doings;
  act: (text: string, work: () => Promise<Done[]>) => Promise<unknown>;
}> = ({ target, people, seen, does, act }) => {
  const [images, setImages] = React.useState(false);
  const sure = people.flatMap((person) => {
    const local = person.universal_id ? seen.locals[person.universal_id] : undefined;
    return local && (person.confidence ?? 0) >= SURE ? [{ person, local }] : [];
  });
  const fresh = sure.filter((one) => images || !seen.tagged.has(one.local.id));
  if (!sure.length) return null;
  const wanted = () => {
    const ids = [...new Set(sure.map((one) => one.local.id))];
    const tag = (entity: string, id: string, performers: string[]) => ({
      action: "tag_performers",
      params: { entity, entity_id: id, performer_ids: performers },
    });
    const byImage = new Map<string, string[]>();
    if (images) {
      for (const { person, local } of sure)
        for (const id of person.image_ids ?? []) byImage.set(id, [...(byImage.get(id) ?? []), local.id]);
    }
    return [tag("gallery", target.id, ids), ...[...byImage].map(([id, some]) => tag("image", id, some))];
  };
  return (
    <div className="sense-accept-all">
      <Button
        size="sm"
        variant="success"
        disabled={does.doing || !fresh.length}
        onClick={() => void act("Tagged everybody.", () => performAll(wanted()))}
      >
        <Icon icon={faUserCheck} /> Accept all ({fresh.length})
      </Button>
      <Form.Check
        id="sense-also-images"
        label="Also tag the single images"
        checked={images}
        onChange={(event: React.ChangeEvent<HTMLInputElement>) => setImages(event.target.checked)}
      />
    </div>
  );
};
