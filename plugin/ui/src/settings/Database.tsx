// The performer database: what is in use, updates, versions, and whether its files are whole.
import React from "react";
import { Badge, Button } from "react-bootstrap";
import { faCheckDouble, faCloudArrowDown, faRotate, faTrash } from "@fortawesome/free-solid-svg-icons";
import { call, many, unwrap } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { JobLine } from "../parts/JobLine";
import { Empty, Failure, Shown } from "../parts/states";
import type { DatabaseInfo, QueueStatus, Update, Version, VersionList } from "../types";
import { ago, bytes, count, several, when } from "../words";

interface Whole {
  info: DatabaseInfo | undefined;
  versions: VersionList;
  queue: QueueStatus;
}

async function whole(): Promise<Whole> {
  const [info, versions, queue] = await many([
    { mode: "database_info" },
    { mode: "database_versions" },
    { mode: "queue_status" },
  ]);
  return {
    info: info.output,
    versions: unwrap(versions),
    queue: unwrap(queue),
  };
}

export const Database: React.FC = () => {
  const asked = useAsk(whole, "database", (data) => (data?.queue.jobs.length ? 2000 : 30000));
  return (
    <Shown asked={asked}>
      {({ info, versions, queue }) => (
        <>
          {info ? <Current info={info} /> : <Empty title="Nobody is enrolled yet" />}
          {queue.jobs
            .filter((job) => job.type.startsWith("database_") || job.type.startsWith("enroll_"))
            .map((job) => (
              <JobLine key={job.id} job={job} />
            ))}
          <Updates busy={queue.jobs.some((job) => job.type === "database_update")} changed={asked.reload} />
          <Versions versions={versions} pinned={info?.pinned ?? false} changed={asked.reload} />
        </>
      )}
    </Shown>
  );
};

const Current: React.FC<{ info: DatabaseInfo }> = ({ info }) => (
  <>
    <p>
      <span className="sense-big">{count(info.performer_count)}</span> people, {several(info.face_count, "face")},{" "}
      {bytes(info.size_bytes)}, pack <code>{info.pack}</code>, made {ago(info.created)}
    </p>
    <div className="sense-sources">
      <table className="table table-sm table-striped sense-table">
        <thead>
          <tr>
            <th scope="col">Source</th>
            <th scope="col" className="text-right">
              People
            </th>
            <th scope="col" className="text-right">
              Faces
            </th>
            <th scope="col">Updated</th>
          </tr>
        </thead>
        <tbody>
          {info.sources.map((source) => (
            <tr key={source.id}>
              <td>
                <span className="sense-break">{source.id}</span>{" "}
                <small className="text-muted">
                  {source.kind} {source.release}
                </small>
              </td>
              <td className="text-right">{count(source.performers)}</td>
              <td className="text-right">{count(source.faces)}</td>
              <td>{ago(source.updated)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  </>
);

const Updates: React.FC<{ busy: boolean; changed: () => void }> = ({ busy, changed }) => {
  const checking = useDoing();
  const updating = useDoing();
  const [found, setFound] = React.useState<Update[]>();
  const check = () => void checking.run(async () => setFound((await call("database_updates")).updates));
  const take = (source: string) =>
    void updating.run(() =>
      call("queue_submit", { body: { type: "database_update", params: { source } } }).then(() => {
        setFound(undefined);
        changed();
      }),
    );
  return (
    <section className="sense-section">
      <div className="sense-section-head">
        <h5>Updates</h5>
        <Button size="sm" variant="secondary" disabled={checking.doing} onClick={check}>
          <Icon icon={faRotate} spin={checking.doing} /> Check
        </Button>
      </div>
      {checking.error ? <Failure error={checking.error} /> : null}
      {updating.error ? <Failure error={updating.error} /> : null}
      {found && !found.length ? (
        <p className="text-muted">No source of releases is set: release_sources in settings.toml or the environment.</p>
      ) : null}
      {found?.map((one) => (
        <div key={one.source} className="sense-row" data-source={one.source}>
          <strong>{one.source}</strong>
          <span className="text-muted">
            {one.error
              ? `${one.error.message} ${one.error.hint}`
              : one.available
                ? `${one.newest}${one.download_bytes ? `, ${bytes(one.download_bytes)}` : ""}`
                : `${one.installed ?? one.newest ?? "nothing"} is the newest`}
          </span>
          {one.available ? (
            <Button size="sm" disabled={busy || updating.doing} onClick={() => take(one.source)}>
              <Icon icon={faCloudArrowDown} /> Update
            </Button>
          ) : null}
        </div>
      ))}
    </section>
  );
};

const Versions: React.FC<{ versions: VersionList; pinned: boolean; changed: () => void }> = (props) => {
  const { doing, error, run } = useDoing();
  const [said, setSaid] = React.useState("");
  const verify = (version: string) =>
    void run(async () => {
      const whole = await call("database_verify", { body: { version } });
      setSaid(`Version ${version} is whole: ${several(whole.files, "file")}.`);
    });
  const use = (version: string) =>
    void run(async () => {
      await call("database_use", { body: { version } });
      setSaid(`Version ${version} is in use.`);
      props.changed();
    });
  const remove = (version: string) =>
    void run(() => call("database_remove", { path: { version } }).then(props.changed));
  return (
    <section className="sense-section">
      <h5>Versions</h5>
      {error ? <Failure error={error} /> : null}
      <div role="status">{said ? <div className="sense-note">{said}</div> : null}</div>
      <div className="sense-rows">
        {[...props.versions.versions].reverse().map((one) => (
          <VersionRow
            key={one.version}
            one={one}
            current={one.version === props.versions.current}
            disabled={doing}
            pinned={props.pinned}
            verify={verify}
            use={use}
            remove={remove}
          />
        ))}
      </div>
    </section>
  );
};

const VersionRow: React.FC<{
  one: Version;
  current: boolean;
  disabled: boolean;
  pinned: boolean;
  verify: (version: string) => void;
  use: (version: string) => void;
  remove: (version: string) => void;
}> = ({ one, current, disabled, pinned, verify, use, remove }) => (
  <div className="sense-row" data-version={one.version}>
    <strong>{one.version}</strong>
    {current ? <Badge variant="success">in use</Badge> : null}
    <span className="text-muted sense-small">
      {[
        one.created ? when(one.created) : "",
        one.problem
          ? ""
          : `${several(one.performers, "person", "people")}, ${several(one.faces, "face")}, ${bytes(one.size_bytes)}`,
      ]
        .filter(Boolean)
        .join(", ")}
    </span>
    {one.problem ? <span className="sense-bad sense-small">{one.problem}</span> : null}
    <span className="sense-buttons">
      <Button size="sm" variant="secondary" disabled={disabled} onClick={() => verify(one.version)}>
        <Icon icon={faCheckDouble} /> Verify
      </Button>
      {current ? null : (
        <>
          <Button size="sm" disabled={disabled || pinned || Boolean(one.problem)} onClick={() => use(one.version)}>
            Use
          </Button>
          <Removal version={one.version} disabled={disabled} remove={remove} />
        </>
      )}
    </span>
  </div>
);

/** Asks once more: a version that is removed does not come back. */
const Removal: React.FC<{ version: string; disabled: boolean; remove: (version: string) => void }> = (props) => {
  const { version, disabled, remove } = props;
  const [sure, setSure] = React.useState(false);
  return (
    <Button
      size="sm"
      variant={sure ? "danger" : "secondary"}
      disabled={disabled}
      title="Remove this version"
      aria-label={sure ? `Remove version ${version} for good` : `Remove version ${version}`}
      onBlur={() => setSure(false)}
      onClick={() => (sure ? remove(version) : setSure(true))}
    >
      <Icon icon={faTrash} /> {sure ? "For good?" : null}
    </Button>
  );
};
