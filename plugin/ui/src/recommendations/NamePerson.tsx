// The dialog that gives an unknown person a name: a performer of Stash or a new one, tagged on all or some of the scenes.
import React from "react";
import { Button, Form, Modal } from "react-bootstrap";
import { faMagnifyingGlass, faUserPlus } from "@fortawesome/free-solid-svg-icons";
import { Face } from "../parts/faces";
import { Icon } from "../parts/Icon";
import { PickPerformer } from "../parts/PickPerformer";
import { several, titled } from "../words";
import { AcceptOne } from "./AcceptOne";
import { learnFaces, undo } from "./asking";
import type { Accepted } from "./asking";
import { asNew, asPerformer, seenIn } from "./naming";
import type { SeenIn } from "./naming";
import type { Notice } from "./notices";
import type { OfferedAction, Params, Recommendation, UnknownPersonDetails } from "./records";
import { undone } from "./undone";

interface Props {
  recommendation: Recommendation;
  close: () => void;
  done: (accepted: Accepted, title: string) => void;
}

interface Planned {
  action: OfferedAction;
  params: Params;
}

/** GenderEnum of Stash. */
const GENDERS = ["MALE", "FEMALE", "TRANSGENDER_MALE", "TRANSGENDER_FEMALE", "INTERSEX", "NON_BINARY"];

export const NamePerson: React.FC<Props> = ({ recommendation, close, done }) => {
  const details = recommendation.details as unknown as UnknownPersonDetails;
  const all = seenIn(details);
  const [left, setLeft] = React.useState<Set<string>>(new Set());
  const [name, setName] = React.useState("");
  const [more, setMore] = React.useState({ disambiguation: "", gender: "", birthdate: "", country: "" });
  const [picking, setPicking] = React.useState(false);
  const [planned, setPlanned] = React.useState<Planned>();
  const chosen = all.filter((one) => !left.has(key(one)));
  const scenes = chosen.length === all.length ? `all ${all.length}` : `${chosen.length} of ${all.length}`;
  if (planned) {
    return (
      <AcceptOne
        recommendation={recommendation}
        action={planned.action}
        params={planned.params}
        close={() => setPlanned(undefined)}
        done={done}
      />
    );
  }
  if (picking) {
    return (
      <PickPerformer
        title="Who is it?"
        start=""
        close={() => setPicking(false)}
        pick={(local) => {
          setPicking(false);
          const action = { id: "tag_performers", title: `This is ${local.name}`, destructive: false };
          setPlanned({ action, params: asPerformer(local.id, chosen) });
        }}
      />
    );
  }
  const create = (event: React.FormEvent) => {
    event.preventDefault();
    const action = { id: "create_performer", title: `Create ${name.trim()}`, destructive: false };
    setPlanned({ action, params: asNew({ name: name.trim(), ...more }, chosen) });
  };
  return (
    <Modal show onHide={close} size="lg" scrollable aria-labelledby="sense-naming-title">
      <Modal.Header closeButton>
        <Modal.Title id="sense-naming-title">Who is this?</Modal.Title>
      </Modal.Header>
      <Modal.Body>
        <div className="sense-face-row">
          {details.best.slice(0, 5).map((best, place) => (
            <Face key={place} path={best.crop_url} name="the unknown person" size={88} />
          ))}
        </div>
        <p>
          <Button disabled={!chosen.length} onClick={() => setPicking(true)}>
            <Icon icon={faMagnifyingGlass} /> A performer of Stash …
          </Button>
        </p>
        <Form onSubmit={create} className="sense-naming-new">
          <h5>Somebody new</h5>
          <Form.Group controlId="sense-naming-name">
            <Form.Label>Name</Form.Label>
            <Form.Control
              className="text-input"
              value={name}
              required
              maxLength={500}
              onChange={(event: React.ChangeEvent<HTMLInputElement>) => setName(event.target.value)}
            />
          </Form.Group>
          <div className="sense-naming-more">
            <Form.Group controlId="sense-naming-gender">
              <Form.Label>Gender</Form.Label>
              <Form.Control
                as="select"
                custom
                value={more.gender}
                onChange={(event: React.ChangeEvent<HTMLInputElement>) =>
                  setMore({ ...more, gender: event.target.value })
                }
              >
                <option value="">not said</option>
                {GENDERS.map((gender) => (
                  <option key={gender} value={gender}>
                    {titled(gender.toLowerCase())}
                  </option>
                ))}
              </Form.Control>
            </Form.Group>
            {(
              [
                ["disambiguation", "Disambiguation", undefined],
                ["birthdate", "Born (year, or year-month-day)", "\\d{4}(-\\d\\d(-\\d\\d)?)?"],
                ["country", "Country (two letters)", "[A-Za-z]{2}"],
              ] as const
            ).map(([field, label, pattern]) => (
              <Form.Group key={field} controlId={`sense-naming-${field}`}>
                <Form.Label>{label}</Form.Label>
                <Form.Control
                  className="text-input"
                  value={more[field]}
                  pattern={pattern}
                  onChange={(event: React.ChangeEvent<HTMLInputElement>) =>
                    setMore({ ...more, [field]: event.target.value })
                  }
                />
              </Form.Group>
            ))}
          </div>
          <Button type="submit" disabled={!name.trim() || !chosen.length}>
            <Icon icon={faUserPlus} /> Create the performer …
          </Button>
        </Form>
        <fieldset className="sense-naming-places">
          <legend>Tagged on {scenes}</legend>
          {details.scene_count > details.scenes.length ? (
            <p className="text-muted sense-small">
              {several(details.scene_count - details.scenes.length, "further scene")} will be found again once these are
              tagged.
            </p>
          ) : null}
          {all.map((one) => (
            <label key={key(one)} className="sense-naming-place">
              <input
                type="checkbox"
                checked={!left.has(key(one))}
                onChange={(event) => {
                  const next = new Set(left);
                  if (event.target.checked) next.delete(key(one));
                  else next.add(key(one));
                  setLeft(next);
                }}
              />
              <Face path={one.crop_url} name={`the person in ${one.title}`} size={48} />
              <span>{one.title}</span>
            </label>
          ))}
        </fieldset>
      </Modal.Body>
      <Modal.Footer>
        <Button variant="secondary" onClick={close}>
          Cancel
        </Button>
      </Modal.Footer>
    </Modal>
  );
};

const key = (one: SeenIn): string => `${one.entity}:${one.entity_id}`;

/** What is said once somebody has a name: its undo, and the way to be recognised from now on. */
export const named = (accepted: Accepted, title: string): Notice => ({
  text: title,
  undo: accepted.undoable ? async () => undone(await undo(accepted.action_id)) : undefined,
  next: {
    title: "Learn the face",
    go: async () => {
      await learnFaces();
      return "Faces of scenes in which only one performer is tagged are being enrolled; see Operations.";
    },
  },
});
