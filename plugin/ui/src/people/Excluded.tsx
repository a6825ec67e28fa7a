// Who is never enrolled and never named.
import React from "react";
import { Button } from "react-bootstrap";
import { faBan } from "@fortawesome/free-solid-svg-icons";
import { call } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { shownName } from "../locals";
import { Empty, Failure, Shown } from "../parts/states";
import { when } from "../words";

export const Excluded: React.FC = () => {
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
