// Who can be named: pages of people with a face each, search, and one person with everything that is known.
import React from "react";
import { Badge, Button, Form } from "react-bootstrap";
import { faUser } from "@fortawesome/free-solid-svg-icons";
import { call } from "../backend";
import { useAsk, useInUrl, useSettled } from "../hooks";
import { shownName } from "../locals";
import { Pages } from "../parts/Pages";
import { Empty, Shown } from "../parts/states";
import type { Person } from "../types";
import { several } from "../words";
import { PersonDetails } from "./PersonDetails";
import { Portrait } from "./Portrait";

const PER_PAGE = 40;

export const Enrolled: React.FC = () => {
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
      {who ? <PersonDetails id={who} close={() => setWho("")} changed={asked.reload} /> : null}
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
    <Portrait person={person} />
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
