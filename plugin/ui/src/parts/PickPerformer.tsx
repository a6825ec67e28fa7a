// A dialog that searches the performers of Stash.
import React from "react";
import { Button, Form, Modal } from "react-bootstrap";
import { useAsk, useSettled } from "../hooks";
import { searchLocals } from "../locals";
import type { Local } from "../locals";
import { several } from "../words";
import { Empty, Shown } from "./states";

interface Props {
  title?: string;
  start: string;
  pick: (local: Local) => void;
  close: () => void;
}

export const PickPerformer: React.FC<Props> = (props) => {
  const [text, setText] = React.useState(props.start);
  const settled = useSettled(text);
  const found = useAsk(() => searchLocals(settled), `search ${settled}`);
  return (
    <Modal show onHide={props.close} aria-labelledby="sense-pick-title" dialogClassName="sense-dialog">
      <Modal.Header closeButton>
        <Modal.Title id="sense-pick-title">{props.title ?? "Link a performer of Stash"}</Modal.Title>
      </Modal.Header>
      <Modal.Body>
        <Form.Control
          className="text-input"
          aria-label="Name of the performer"
          placeholder="Name …"
          value={text}
          onChange={(event: React.ChangeEvent<HTMLInputElement>) => setText(event.target.value)}
        />
        <div className="sense-picks">
          <Shown asked={found}>
            {(locals) =>
              locals.length ? (
                locals.map((one) => (
                  <Button key={one.id} variant="secondary" className="sense-pick" onClick={() => props.pick(one)}>
                    {one.image_path ? <img src={one.image_path} alt="" /> : null}
                    <span>
                      {one.name} {one.disambiguation ? <small>({one.disambiguation})</small> : null}
                      <small className="text-muted d-block">{several(one.scene_count, "scene")}</small>
                    </span>
                  </Button>
                ))
              ) : (
                <Empty title="Nobody of that name" />
              )
            }
          </Shown>
        </div>
      </Modal.Body>
    </Modal>
  );
};
