// What a screen shows when it has nothing else to show: loading, failures with what to do, emptiness.
import React from "react";
import { Button, Spinner } from "react-bootstrap";
import { Link } from "react-router-dom";
import type { IconDefinition } from "@fortawesome/free-solid-svg-icons";
import { faPlug, faTriangleExclamation } from "@fortawesome/free-solid-svg-icons";
import type { Failed } from "../backend";
import type { Asked } from "../hooks";
import { Icon } from "./Icon";

export const Loading: React.FC<{ text?: string }> = ({ text = "Loading …" }) => (
  <div className="sense-state" role="status">
    <Spinner animation="border" variant="light" aria-hidden="true" />
    <div>{text}</div>
  </div>
);

export const Empty: React.FC<{ title: string; icon?: IconDefinition; children?: React.ReactNode }> = (props) => (
  <div className="sense-state sense-empty">
    <Icon icon={props.icon} className="sense-state-icon" />
    <h4>{props.title}</h4>
    {props.children ? <div className="text-muted">{props.children}</div> : null}
  </div>
);

const SETUP = new Set(["not_set_up", "wrong_key", "unreachable", "version_mismatch", "not_stash_sense"]);
const TITLES: Record<string, string> = {
  not_set_up: "Connect the server",
  wrong_key: "Wrong API key",
  unreachable: "Server not reachable",
  no_answer: "No answer",
  version_mismatch: "Versions do not match",
  not_stash_sense: "Not a Stash Sense server",
  overloaded: "The server is busy",
  no_python: "Python does not start",
};

/** A failure with what to do about it; large where a whole screen is missing, else a line. */
export const Failure: React.FC<{ error: Failed; retry?: () => void; large?: boolean }> = ({ error, retry, large }) => {
  const again = retry ? (
    <Button size="sm" variant="secondary" onClick={retry}>
      Try again
    </Button>
  ) : null;
  const settings = SETUP.has(error.code) ? (
    <Link className="btn btn-sm btn-primary" to="/settings?tab=plugins">
      Plugin settings
    </Link>
  ) : null;
  if (!large) {
    return (
      <div className="alert alert-danger sense-failure" role="alert" data-code={error.code}>
        <Icon icon={faTriangleExclamation} /> {error.message} {error.hint}
        <span className="sense-buttons">
          {settings}
          {again}
        </span>
      </div>
    );
  }
  return (
    <div className="sense-state sense-failure-large" role="alert" data-code={error.code}>
      <Icon icon={SETUP.has(error.code) ? faPlug : faTriangleExclamation} className="sense-state-icon" />
      <h4>{TITLES[error.code] ?? "Something went wrong"}</h4>
      <p>{error.message}</p>
      {error.hint ? <p className="text-muted">{error.hint}</p> : null}
      <div className="sense-buttons">
        {settings}
        {again}
      </div>
    </div>
  );
};

/** Shows data once it is there; a failure beside older data does not hide it. */
export function Shown<T>(props: {
  asked: Asked<T>;
  loading?: string;
  children: (data: T) => React.ReactNode;
}): React.ReactElement {
  const { data, error, reload } = props.asked;
  if (data === undefined)
    return error ? <Failure error={error} retry={reload} large /> : <Loading text={props.loading} />;
  return (
    <>
      {error ? <Failure error={error} retry={reload} /> : null}
      {props.children(data)}
    </>
  );
}
