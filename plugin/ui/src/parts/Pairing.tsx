// First run: the server learns where Stash is. The key goes from Stash to the server, never through the page.
import React from "react";
import { Button, Form } from "react-bootstrap";
import { faLink } from "@fortawesome/free-solid-svg-icons";
import { pair, pairingOffer } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { Icon } from "./Icon";
import { Failure } from "./states";

export const Pairing: React.FC<{ done: () => void }> = ({ done }) => {
  const offer = useAsk(pairingOffer, "offer");
  const { doing, error, run } = useDoing();
  const [given, setGiven] = React.useState<string>();
  const address = given ?? offer.data?.stash_url ?? "";
  return (
    <div className="card sense-card sense-pairing">
      <h5 className="sense-card-title">
        <Icon icon={faLink} /> Connect the server to this Stash
      </h5>
      <p>
        The Stash Sense server needs the address of this Stash
        {offer.data?.has_key ? " and its API key" : ""}, to read the library and to write what you accept. Both are kept
        in the server&apos;s data folder. This is done once.
      </p>
      {offer.error ? <Failure error={offer.error} retry={offer.reload} /> : null}
      {error ? <Failure error={error} /> : null}
      <Form
        onSubmit={(event: React.FormEvent) => {
          event.preventDefault();
          void run(() => pair(address).then(done));
        }}
      >
        <Form.Group controlId="sense-stash-url">
          <Form.Label>Address of Stash, as the server reaches it</Form.Label>
          <Form.Control
            className="text-input"
            value={address}
            onChange={(event: React.ChangeEvent<HTMLInputElement>) => setGiven(event.target.value)}
          />
          <Form.Text className="text-muted">
            If the server runs in a container or on another machine, that is another address than 127.0.0.1.
          </Form.Text>
        </Form.Group>
        <Button type="submit" disabled={doing || !address || !offer.data}>
          {doing ? "Asking Stash …" : "Connect"}
        </Button>
      </Form>
    </div>
  );
};
