// One person who is enrolled: what is known, every face with where it comes from, and what the faces do not cover.
import React from "react";
import { Button, Modal } from "react-bootstrap";
import { Link } from "react-router-dom";
import { faBan, faDownload, faUserSlash } from "@fortawesome/free-solid-svg-icons";
import { call } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { shownName } from "../locals";
import { Face } from "../parts/faces";
import { Icon } from "../parts/Icon";
import { Failure, Shown } from "../parts/states";
import type { PersonDetail } from "../types";
import { clock, percent, several } from "../words";
import { inStash, Portrait } from "./Portrait";

type EnrolledFace = PersonDetail["pictures"][number];

/** Faces on the page at once; enrolled folders may have hundreds. */
const MOST_SHOWN = 60;

export const PersonDetails: React.FC<{ id: string; close: () => void; changed: () => void }> = (props) => {
  const { id, close, changed } = props;
  const asked = useAsk(() => call("person", { path: { id } }), id);
  const { doing, error, run } = useDoing();
  const [erasing, setErasing] = React.useState(false);
  const done = () => {
    changed();
    close();
  };
  return (
    <Modal show onHide={close} size="lg" aria-labelledby="sense-person-title" scrollable>
      <Modal.Header closeButton>
        <Modal.Title id="sense-person-title">{asked.data ? shownName(asked.data.name) : "Person"}</Modal.Title>
      </Modal.Header>
      <Modal.Body>
        {error ? <Failure error={error} /> : null}
        <Shown asked={asked}>{(person) => <Known person={person} />}</Shown>
      </Modal.Body>
      <Modal.Footer className="sense-footer">
        {erasing ? (
          <>
            <span>Remove this person from every version, scan and match? This cannot be undone.</span>
            <Button variant="secondary" onClick={() => setErasing(false)}>
              Keep
            </Button>
            <Button
              variant="danger"
              disabled={doing}
              onClick={() =>
                void run(() => call("people_erase", { path: { id }, body: { confirm: id, exclude: true } }).then(done))
              }
            >
              Erase and exclude
            </Button>
          </>
        ) : (
          <>
            <Button
              variant="secondary"
              disabled={doing}
              title="Never enrol nor name this person"
              onClick={() => void run(() => call("people_exclude", { body: { ids: [id] } }).then(done))}
            >
              <Icon icon={faBan} /> Exclude
            </Button>
            <Button variant="danger" disabled={doing} onClick={() => setErasing(true)}>
              <Icon icon={faUserSlash} /> Erase …
            </Button>
          </>
        )}
      </Modal.Footer>
    </Modal>
  );
};

const Known: React.FC<{ person: PersonDetail }> = ({ person }) => {
  const own = inStash(person)?.split("/")[1];
  return (
    <>
      <div className="sense-known-person">
        <OwnPicture person={person} />
        <dl className="sense-facts">
          <Fact name="Aliases" value={person.aliases.join(", ")} />
          <Fact name="Country" value={person.country} />
          <Fact name="Born" value={person.birth_date} />
          <Fact name="Ids" value={person.ids.join(", ")} />
          {own ? (
            <>
              <dt>In Stash</dt>
              <dd>
                <Link to={`/performers/${own}`}>{shownName(person.name)}</Link>
              </dd>
            </>
          ) : null}
        </dl>
      </div>
      <Covered person={person} />
      <ul className="sense-enrolled" aria-label="Faces">
        {person.pictures.slice(0, MOST_SHOWN).map((face, place) => (
          <FaceTile key={place} face={face} name={shownName(person.name)} />
        ))}
      </ul>
      {person.coverage.faces > MOST_SHOWN ? <p className="text-muted">The best {MOST_SHOWN} are shown.</p> : null}
    </>
  );
};

/** Stash's picture or a kept one; the one that a stash-box has is fetched by the server when the owner wants it. */
const OwnPicture: React.FC<{ person: PersonDetail }> = ({ person }) => {
  const [wanted, setWanted] = React.useState(person.portrait_kept);
  const { portrait_url: portrait, image_url: address } = person;
  return (
    <div className="sense-own-picture">
      <Portrait key={String(wanted)} person={person} path={wanted ? portrait : undefined} />
      {portrait && address && !wanted && !inStash(person) ? (
        <Button
          size="sm"
          variant="secondary"
          title="The server fetches it; the browser asks nobody"
          onClick={() => setWanted(true)}
        >
          <Icon icon={faDownload} /> Picture of {new URL(address).host}
        </Button>
      ) : null}
    </div>
  );
};

const MISSING: Record<PersonDetail["coverage"]["missing"][number], string> = {
  one_face: "There is only one face: a second one from another picture makes names surer.",
  few_faces: "There are fewer than five faces.",
  no_left: "No face is turned to the left.",
  no_right: "No face is turned to the right.",
  no_clear: "No face is really clear.",
};

/** What is missing in sentences; of two sides one sentence. */
function missingOf({ missing }: PersonDetail["coverage"]): string[] {
  const sides = missing.includes("no_left") && missing.includes("no_right");
  const others = missing.filter((word) => !sides || !word.startsWith("no_") || word === "no_clear");
  return [...others.map((word) => MISSING[word]), ...(sides ? ["No face is turned to a side."] : [])];
}

const Covered: React.FC<{ person: PersonDetail }> = ({ person }) => {
  const { coverage } = person;
  const { left, front, right, clear, unknown } = coverage;
  const sources = Object.entries(coverage.sources).map(([source, number]) => `${number} of ${source}`);
  const missing = missingOf(coverage);
  return (
    <section className="sense-coverage" aria-label="What the faces cover">
      <h5>{several(coverage.faces, "face")}</h5>
      <p>
        {sources.join(", ")}
        {coverage.faces > unknown
          ? `: ${left} turned left, ${front} from the front, ${right} turned right; ${clear} clear`
          : ""}
      </p>
      {unknown ? (
        <p className="text-muted">
          {unknown === coverage.faces ? "They" : several(unknown, "face")} came with a database that has no pictures and
          does not say how good faces are.
        </p>
      ) : null}
      {missing.length ? (
        <ul className="sense-reasons">
          {missing.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      ) : null}
    </section>
  );
};

/** A performer's own picture, as an enrolment from Stash names it. */
const OF_STASH = /^performer\/\d+\/image$/;

const FaceTile: React.FC<{ face: EnrolledFace; name: string }> = ({ face, name }) => {
  const picture = !face.crop_url && face.origin === "stash" && OF_STASH.test(face.source);
  const facts = [
    face.quality === null ? "" : `quality ${percent(face.quality)}`,
    face.yaw_deg === null ? "" : side(face.yaw_deg),
  ].filter(Boolean);
  return (
    <li>
      {picture ? (
        <img className="sense-face" src={face.source} alt={`${name} in Stash`} style={{ width: 96, height: 96 }} />
      ) : (
        <Face path={face.crop_url} name={name} />
      )}
      <span className="sense-small sense-break">
        <Where face={face} />
        {facts.length ? <span className="text-muted d-block">{facts.join(", ")}</span> : null}
        {face.crop_url || picture ? null : <span className="text-muted d-block">no picture is kept</span>}
      </span>
    </li>
  );
};

/** What a face comes from, as a link where it is something of Stash. */
const Where: React.FC<{ face: EnrolledFace }> = ({ face }) => {
  if (face.entity && face.entity_id) {
    const jump = face.time_s === null ? "" : `?t=${Math.floor(face.time_s)}`;
    return (
      <Link to={`/${face.entity}s/${face.entity_id}${jump}`}>
        {face.entity} {face.entity_id}
        {face.time_s === null ? "" : ` at ${clock(face.time_s)}`}
      </Link>
    );
  }
  if (OF_STASH.test(face.source)) return <>picture in Stash</>;
  if (/^https?:/.test(face.source)) return <>picture of {new URL(face.source).host}</>;
  return <>{face.source || face.origin}</>;
};

const FRONT_DEG = 15;

const side = (yaw: number): string =>
  Math.abs(yaw) < FRONT_DEG ? "front" : `${Math.round(Math.abs(yaw))}° ${yaw < 0 ? "left" : "right"}`;

const Fact: React.FC<{ name: string; value: string | null }> = ({ name, value }) =>
  value ? (
    <>
      <dt>{name}</dt>
      <dd className="sense-break">{value}</dd>
    </>
  ) : null;
