// What is chosen and what can be done about all of it at once.
import React from "react";
import { Button, Dropdown } from "react-bootstrap";
import { count, several } from "../words";
import type { Mode, OfferedAction } from "./records";

interface Props {
  /** How many are chosen, and how many the filter lets through. */
  chosen: number;
  total: number;
  everything: boolean;
  allHere: boolean;
  actions: OfferedAction[];
  pending: boolean;
  doing: boolean;
  chooseHere: (on: boolean) => void;
  chooseAll: () => void;
  clear: () => void;
  dismiss: (mode: Mode) => void;
  accept: (action: OfferedAction) => void;
}

export const BulkBar: React.FC<Props> = (props) => {
  const { chosen, total, everything, allHere, actions, pending, doing } = props;
  return (
    <div className="sense-bulk" role="group" aria-label="Chosen recommendations">
      <label className="sense-bulk-all">
        <input
          type="checkbox"
          checked={allHere || everything}
          onChange={(event) => props.chooseHere(event.target.checked)}
        />{" "}
        {chosen ? `${several(chosen, "recommendation")} chosen` : "Choose this page"}
      </label>
      {chosen && !everything && allHere && total > chosen ? (
        <Button variant="link" size="sm" onClick={props.chooseAll}>
          Choose all {count(total)}
        </Button>
      ) : null}
      {chosen ? (
        <span className="sense-buttons">
          {pending
            ? actions.map((action) => (
                <Button
                  key={action.id}
                  size="sm"
                  variant={action.destructive ? "danger" : "primary"}
                  disabled={doing}
                  onClick={() => props.accept(action)}
                >
                  {action.title} …
                </Button>
              ))
            : null}
          {pending ? (
            <Dropdown as="span">
              <Dropdown.Toggle size="sm" variant="secondary" id="sense-bulk-dismiss" disabled={doing}>
                Dismiss
              </Dropdown.Toggle>
              <Dropdown.Menu alignRight>
                <Dropdown.Item as="button" onClick={() => props.dismiss("until_changed")}>
                  Until they change
                </Dropdown.Item>
                <Dropdown.Item as="button" onClick={() => props.dismiss("forever")}>
                  For ever
                </Dropdown.Item>
              </Dropdown.Menu>
            </Dropdown>
          ) : null}
          <Button size="sm" variant="link" onClick={props.clear}>
            Choose none
          </Button>
        </span>
      ) : null}
    </div>
  );
};
