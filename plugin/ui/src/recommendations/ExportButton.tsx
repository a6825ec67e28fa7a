// Everything that the filter lets through as a file.
import React from "react";
import { Button, Dropdown } from "react-bootstrap";
import { faDownload } from "@fortawesome/free-solid-svg-icons";
import { useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { Failure } from "../parts/states";
import { bytes, count, percent } from "../words";
import { download } from "./exporting";
import type { Format } from "./exporting";
import type { Wanted } from "./filters";

const FORMATS: [Format, string][] = [
  ["csv", "CSV, for spreadsheets"],
  ["parquet", "Parquet, for programs"],
];

export const ExportButton: React.FC<{ wanted: Wanted; total: number }> = ({ wanted, total }) => {
  const { doing, error, run } = useDoing();
  const [told, tell] = React.useState("");
  const stop = React.useRef(false);
  React.useEffect(
    () => () => {
      stop.current = true;
    },
    [],
  );
  const start = (format: Format) => {
    stop.current = false;
    tell("Making the file …");
    const show = (done: number, all: number) => {
      if (!stop.current) tell(`${percent(done / all)} of ${bytes(all)}`);
    };
    void run(() => download(wanted, format, show, () => stop.current));
  };
  return (
    <>
      {doing ? (
        <span className="sense-export" role="status">
          <span className="text-muted">{told}</span>
          <Button
            size="sm"
            variant="secondary"
            onClick={() => {
              stop.current = true;
              tell("Stopping …");
            }}
          >
            Stop
          </Button>
        </span>
      ) : (
        <Dropdown as="span">
          <Dropdown.Toggle variant="secondary" id="sense-export" disabled={!total} title={`${count(total)} as a file`}>
            <Icon icon={faDownload} /> Export
          </Dropdown.Toggle>
          <Dropdown.Menu alignRight>
            {FORMATS.map(([format, words]) => (
              <Dropdown.Item key={format} as="button" onClick={() => start(format)}>
                {words}
              </Dropdown.Item>
            ))}
          </Dropdown.Menu>
        </Dropdown>
      )}
      {error ? <Failure error={error} /> : null}
    </>
  );
};
