// Who can be named: everybody who is enrolled, who is excluded, and one person with what is known of them.
import React from "react";
import { Badge, Button, Form, Modal } from "react-bootstrap";
import { faBan, faUser, faUserSlash } from "@fortawesome/free-solid-svg-icons";
import { call } from "../backend";
import { useAsk, useDoing, useInUrl, useSettled } from "../hooks";
import { parts, shownName } from "../locals";
import { Icon } from "../parts/Icon";
import { Pages } from "../parts/Pages";
import { Empty, Failure, Shown } from "../parts/states";
import type { Person } from "../types";
import { count, percent, several, when } from "../words";

const PER_PAGE = 40;

export const People: React.FC = () => {
  const [view, setView] = useInUrl("view");
  return (
    <>
      <div className="sense-filters">
        <div className="btn-group" role="group" aria-label="Which people">
          {[
            ["", "Enrolled"],
            ["excluded", "Excluded"],
          ].map(([id, title]) => (
            <Button
              key={id}
              variant="secondary"
              active={view === id}
              aria-pressed={view === id}
              onClick={() => setView(id ?? "")}
            >
              {title}
            </Button>
          ))}
        </div>
      </div>
      {view === "excluded" ? <Excluded /> : <Enrolled />}
    </>
  );
};

const Enrolled: React.FC = () => {
  const [text, setText] = useInUrl("q");
  const [source, setSource] = useInUrl("source");
  const [from, setFrom] = useInUrl("from");
  const [who, setWho] = useInUrl("who");
  const [typed, setTyped] = React.useState(text);
  const settled = useSettled(typed);
  React.useEffect(() => {
    if (settled !== text) {
      setText(settled);
      setFrom("");
    }
  }, [settled, text, setText, setFrom]);
  const offset = Number(from) || 0;
  const query = { text, source, offset, limit: PER_PAGE };
  const asked = useAsk(() => call("people", { query }), JSON.stringify(query));
  return (
    <>
      <div className="sense-filters">
        <Form.Control
          className="text-input sense-search"
          aria-label="Name, alias or id"
          placeholder="Name, alias or id …"
          value={typed}
          onChange={(event: React.ChangeEvent<HTMLInputElement>) => setTyped(event.target.value)}
        />
        {source ? (
          <Button variant="secondary" onClick={() => setSource("")}>
            {source} ×
          </Button>
        ) : null}
      </div>
      <Shown asked={asked}>
        {(page) => (
          <>
            <p className="text-muted">{several(page.total, "person", "people")}</p>
            {page.people.length ? null : (
              <Empty title={text ? "Nobody of that name is enrolled" : "Nobody is enrolled yet"} icon={faUser}>
                Enrol from Stash or from stash-boxes under Operations.
              </Empty>
            )}
            <div className="sense-grid sense-people">
              {page.people.map((person) => (
                <PersonTile
                  key={person.universal_id}
                  person={person}
                  open={() => setWho(person.universal_id)}
                  source={setSource}
                />
              ))}
            </div>
            <Pages
              total={page.total}
              size={PER_PAGE}
              offset={offset}
              go={(next) => setFrom(next ? String(next) : "")}
            />
          </>
        )}
      </Shown>
      {who ? <Detail id={who} close={() => setWho("")} changed={asked.reload} /> : null}
    </>
  );
};

/** What there is to recognise somebody by: one picture names poorly, five from several sides well. */
const COVERED = 5;

const PersonTile: React.FC<{ person: Person; open: () => void; source: (id: string) => void }> = ({
  person,
  open,
  source,
}) => (
  <div className="card sense-card sense-tile" data-id={person.universal_id}>
    <Picture person={person} />
    <div className="sense-person-body">
      <Button variant="link" className="sense-name" onClick={open}>
        {shownName(person.name)}
      </Button>
      <div className={person.faces >= COVERED ? "sense-good" : "text-muted"}>{several(person.faces, "face")}</div>
      <div className="sense-chips">
        {person.sources.map((one) => (
          <button key={one} type="button" className="sense-chip" title={`Only ${one}`} onClick={() => source(one)}>
            {one}
          </button>
        ))}
        {person.excluded ? <Badge variant="danger">excluded</Badge> : null}
      </div>
    </div>
  </div>
);

/** Pictures come from Stash itself or from a public address; anything else stays with the server. */
function pictureOf(person: Person): string | undefined {
  const own = person.ids.map(parts).find(([domain]) => domain === "stash");
  if (own) return `performer/${own[1]}/image`;
  return person.image_url && /^https?:/.test(person.image_url) ? person.image_url : undefined;
}

const Picture: React.FC<{ person: Person }> = ({ person }) => {
  const [broken, setBroken] = React.useState(false);
  const source = pictureOf(person);
  if (source && !broken)
    return <img className="sense-portrait" src={source} alt="" loading="lazy" onError={() => setBroken(true)} />;
  return (
    <span className="sense-portrait sense-face-none">
      <Icon icon={faUser} />
    </span>
  );
};

const Detail: React.FC<{ id: string; close: () => void; changed: () => void }> = ({ id, close, changed }) => {
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
        <Shown asked={asked}>
          {(person) => (
            <>
              <dl className="sense-facts">
                <Fact name="Ids" value={person.ids.join(", ")} />
                <Fact name="Aliases" value={person.aliases.join(", ")} />
                <Fact name="Country" value={person.country} />
                <Fact name="Born" value={person.birth_date} />
                <Fact name="Faces" value={count(person.faces)} />
                <Fact name="Sources" value={person.sources.join(", ")} />
              </dl>
              <h5>Pictures</h5>
              <table className="table table-sm table-striped sense-table">
                <thead>
                  <tr>
                    <th scope="col">Picture</th>
                    <th scope="col">Source</th>
                    <th scope="col">Quality</th>
                  </tr>
                </thead>
                <tbody>
                  {person.pictures.slice(0, 50).map((picture) => (
                    <tr key={`${picture.origin} ${picture.source}`}>
                      <td className="sense-break">{picture.source}</td>
                      <td>{picture.origin}</td>
                      <td>{picture.quality === null ? "" : percent(picture.quality)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </>
          )}
        </Shown>
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

const Fact: React.FC<{ name: string; value: string | null }> = ({ name, value }) =>
  value ? (
    <>
      <dt>{name}</dt>
      <dd className="sense-break">{value}</dd>
    </>
  ) : null;

const Excluded: React.FC = () => {
  const asked = useAsk(() => call("people_excluded"), "excluded");
  const { doing, error, run } = useDoing();
  return (
    <>
      {error ? <Failure error={error} /> : null}
      <Shown asked={asked}>
        {({ excluded }) =>
          excluded.length ? (
            <div className="sense-rows">
              {excluded.map((one) => (
                <div key={one.universal_id} className="sense-row">
                  <strong>{one.name ? shownName(one.name) : one.universal_id}</strong>
                  <span className="text-muted sense-small">
                    {one.reason} {when(one.created)}
                  </span>
                  <Button
                    size="sm"
                    variant="secondary"
                    disabled={doing}
                    onClick={() =>
                      void run(() =>
                        call("people_include", { query: { id: one.ids.length ? one.ids : [one.universal_id] } }).then(
                          asked.reload,
                        ),
                      )
                    }
                  >
                    Take off the list
                  </Button>
                </div>
              ))}
            </div>
          ) : (
            <Empty title="Nobody is excluded" icon={faBan}>
              Who is on this list is never enrolled and never named.
            </Empty>
          )
        }
      </Shown>
    </>
  );
};
