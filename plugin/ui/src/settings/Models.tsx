import React from "react";
import { Badge } from "react-bootstrap";
import { call } from "../backend";
import { useAsk } from "../hooks";
import { Shown } from "../parts/states";
import { bytes } from "../words";

const COLOURS = { installed: "success", missing: "secondary", corrupted: "danger" };

/** The model packs of the server. They are fetched where the server is: `stash-sense models fetch PACK`. */
export const Models: React.FC = () => {
  const asked = useAsk(() => call("models"), "models");
  return (
    <Shown asked={asked}>
      {({ pack, models }) => (
        <>
          {[...new Set(models.map((one) => one.pack))].map((name) => (
            <section key={name} className="sense-section">
              <h5>
                {name} {name === pack ? <Badge variant="success">in use</Badge> : null}
              </h5>
              <div className="sense-rows">
                {models
                  .filter((one) => one.pack === name)
                  .map((one) => (
                    <div key={one.file} className="sense-row">
                      <span className="sense-break">{one.file}</span>
                      <Badge variant={COLOURS[one.state]}>{one.state}</Badge>
                      <span className="text-muted sense-small">{bytes(one.size_bytes ?? one.expected_size_bytes)}</span>
                    </div>
                  ))}
              </div>
            </section>
          ))}
          <p className="text-muted mt-3">
            Models are fetched where the server is: <code>stash-sense models fetch PACK</code>. Another pack is chosen
            with the setting <code>pack</code>.
          </p>
        </>
      )}
    </Shown>
  );
};
