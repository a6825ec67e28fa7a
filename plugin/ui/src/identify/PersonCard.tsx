// One person that was seen: face, names that it may be, when it is seen, and what can be done.
import React from "react";
import { Badge, Button, Form } from "react-bootstrap";
import { Link } from "react-router-dom";
import { faBan, faCheck, faLink, faPlus, faUserPlus } from "@fortawesome/free-solid-svg-icons";
import { Confidence, Face, jumpTo, Timeline } from "../parts/faces";
import { Icon } from "../parts/Icon";
import { PickPerformer } from "../parts/PickPerformer";
import { isBoxId, parts, shownName } from "../locals";
import type { Local } from "../locals";
import type { FoundPerson } from "../types";
import { clock, several } from "../words";
import { identities } from "./asking";
import type { Identity, Seen, Target } from "./asking";

export interface Doings {
  add: (local: Local, who?: Identity) => void;
  create: (who: Identity) => void;
  link: (local: Local, who: Identity) => void;
  reject: (who: Identity) => void;
  doing: boolean;
}

interface Props {
  target: Target;
  person: FoundPerson;
  seen: Seen;
  does: Doings;
}

export const PersonCard: React.FC<Props> = ({ target, person, seen, does }) => {
  const choices = identities(person);
  const [chosen, setChosen] = React.useState(0);
  const [picking, setPicking] = React.useState(false);
  const named = Boolean(person.universal_id);
  const who: Identity | undefined = named || chosen > 0 ? choices[named ? chosen : chosen - 1] : undefined;
  const local = who ? seen.locals[who.universal_id] : undefined;
  const tagged = Boolean(local && seen.tagged.has(local.id));
  const name = who ? (local?.name ?? shownName(who.name)) : "Unknown person";
  const crop = person.best?.crop_url;
  return (
    <article className="sense-person" data-name={name} aria-label={name}>
      <Face path={crop} name={name} />
      <div className="sense-person-body">
        <div className="sense-person-head">
          {local ? <Link to={`/performers/${local.id}`}>{name}</Link> : <span>{name}</span>}
          {who ? <Confidence value={who.confidence} /> : null}
          {tagged && target.entity !== "performer" ? (
            <Badge variant="success">
              <Icon icon={faCheck} /> tagged
            </Badge>
          ) : null}
          {local?.by === "name" && !tagged ? <Badge variant="secondary">same name</Badge> : null}
        </div>
        <div className="text-muted sense-small">{where(target, person)}</div>
        {target.entity === "scene" ? (
          <Timeline ranges={person.ranges} durationS={seen.answer.duration_s ?? 0} name={name} jump={jumpTo} />
        ) : null}
        {choices.length > (named ? 1 : 0) ? (
          <Form.Control
            as="select"
            size="sm"
            custom
            className="sense-candidates"
            aria-label={`Who is ${name}?`}
            value={chosen}
            onChange={(event: React.ChangeEvent<HTMLInputElement>) => setChosen(Number(event.target.value))}
          >
            {named ? null : <option value={0}>May be …</option>}
            {choices.map((one, place) => (
              <option key={one.universal_id} value={named ? place : place + 1}>
                {shownName(one.name)}, {Math.round(one.confidence * 100)} %, {parts(one.universal_id)[0]}
              </option>
            ))}
          </Form.Control>
        ) : null}
        <div className="sense-buttons">{buttons()}</div>
      </div>
      {picking ? (
        <PickPerformer
          start={who ? shownName(who.name) : ""}
          close={() => setPicking(false)}
          pick={(picked) => {
            setPicking(false);
            if (who) does.link(picked, who);
            else does.add(picked);
          }}
        />
      ) : null}
    </article>
  );

  function buttons(): React.ReactNode {
    if (target.entity === "performer") {
      return who && isBoxId(who.universal_id) ? (
        <Button size="sm" disabled={does.doing} onClick={() => does.link({ ...EMPTY, id: target.id }, who)}>
          <Icon icon={faLink} /> Link to {parts(who.universal_id)[0]}
        </Button>
      ) : null;
    }
    return (
      <>
        {local && !tagged ? (
          <Button size="sm" disabled={does.doing} onClick={() => does.add(local, who)}>
            <Icon icon={faPlus} /> Add {local.name}
          </Button>
        ) : null}
        {who && !local ? (
          <Button size="sm" disabled={does.doing} onClick={() => does.create(who)}>
            <Icon icon={faUserPlus} /> Create {shownName(who.name)}
          </Button>
        ) : null}
        {tagged ? null : (
          <Button size="sm" variant="secondary" disabled={does.doing} onClick={() => setPicking(true)}>
            <Icon icon={faLink} /> Link existing …
          </Button>
        )}
        {who && !tagged ? (
          <Button
            size="sm"
            variant="secondary"
            disabled={does.doing}
            title={`Never suggest ${name} here again`}
            onClick={() => does.reject(who)}
          >
            <Icon icon={faBan} /> Not {name}
          </Button>
        ) : null}
      </>
    );
  }
};

const EMPTY: Local = { id: "", name: "", disambiguation: null, image_path: null, scene_count: 0 };

function where(target: Target, person: FoundPerson): string {
  if (target.entity === "gallery") return `in ${several(person.image_ids?.length ?? person.frames, "image")}`;
  if (target.entity !== "scene") return "";
  const first = person.ranges[0];
  const seen = `in ${several(person.frames, "frame")}, ${several(person.faces, "face")}`;
  return first ? `${seen}, first at ${clock(first[0])}` : seen;
}
