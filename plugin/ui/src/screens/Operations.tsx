// Jobs of the server: what runs and waits, what can be started, when jobs run by themselves, what failed and why.
import React from "react";
import { Button, Form } from "react-bootstrap";
import { faBan, faCalendar, faPlay, faRotateRight, faStop, faTrash } from "@fortawesome/free-solid-svg-icons";
import { call, many, unwrap } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { JobLine } from "../parts/JobLine";
import { Empty, Failure, Shown } from "../parts/states";
import type { Job, JobType, LibraryStatus, Schedule } from "../types";
import { count, plain, several, when } from "../words";

interface Whole {
  jobs: Job[];
  types: JobType[];
  schedules: Schedule[];
  library: LibraryStatus | undefined;
}

const LIVE = new Set(["queued", "running", "stopping"]);

async function whole(): Promise<Whole> {
  const [jobs, types, schedules, library] = await many([
    { mode: "queue", query: { limit: 40 } },
    { mode: "queue_types" },
    { mode: "schedules" },
    { mode: "library_status" },
  ]);
  return {
    jobs: unwrap(jobs).jobs,
    types: unwrap(types).types,
    schedules: unwrap(schedules).schedules,
    library: library.output,
  };
}

export const Operations: React.FC = () => {
  const asked = useAsk(whole, "operations", (data) => (data?.jobs.some((job) => LIVE.has(job.state)) ? 2000 : 15000));
  return <Shown asked={asked}>{(data) => <Jobs data={data} reload={asked.reload} />}</Shown>;
};

const Jobs: React.FC<{ data: Whole; reload: () => void }> = ({ data, reload }) => {
  const { doing, error, run } = useDoing();
  const titles = Object.fromEntries(data.types.map((type) => [type.id, type.title]));
  const ask: Ask = (work) => void run(() => work().then(reload));
  const live = data.jobs.filter((job) => LIVE.has(job.state)).sort((a, b) => order(a) - order(b));
  const ended = data.jobs.filter((job) => !LIVE.has(job.state));
  const busy = new Set(live.map((job) => job.type));
  return (
    <div className="sense-operations">
      {error ? <Failure error={error} /> : null}
      <section>
        <h4>Start</h4>
        <Starters
          busy={busy}
          disabled={doing}
          start={(type, params) => ask(() => call("queue_submit", { body: { type, params } }))}
        />
      </section>
      <section className="sense-section" aria-live="polite">
        <h4>Under way</h4>
        {live.length ? null : <p className="text-muted">Nothing runs.</p>}
        {live.map((job) => (
          <JobLine key={job.id} job={job} title={titles[job.type]}>
            {job.state === "queued" ? (
              <Button
                size="sm"
                variant="secondary"
                disabled={doing}
                onClick={() => ask(() => call("queue_cancel", { path: { id: job.id } }))}
              >
                <Icon icon={faBan} /> Cancel
              </Button>
            ) : (
              <Button
                size="sm"
                variant="secondary"
                disabled={doing || job.state === "stopping"}
                onClick={() => ask(() => call("queue_stop", { path: { id: job.id } }))}
              >
                <Icon icon={faStop} /> Stop
              </Button>
            )}
          </JobLine>
        ))}
      </section>
      <Reasons library={data.library} />
      <section className="sense-section">
        <h4>
          <Icon icon={faCalendar} /> Schedules
        </h4>
        <Schedules schedules={data.schedules} titles={titles} disabled={doing} ask={ask} />
      </section>
      <section className="sense-section">
        <div className="sense-section-head">
          <h4>Ended</h4>
          {ended.length ? (
            <Button size="sm" variant="secondary" disabled={doing} onClick={() => ask(() => call("queue_clear"))}>
              <Icon icon={faTrash} /> Clear
            </Button>
          ) : null}
        </div>
        {ended.length ? null : <Empty title="Nothing has run yet" />}
        {ended.map((job) => (
          <JobLine key={job.id} job={job} title={titles[job.type]}>
            {job.state === "done" ? null : (
              <Button
                size="sm"
                variant="secondary"
                disabled={doing || busy.has(job.type)}
                title={busy.has(job.type) ? "One of this kind is under way" : undefined}
                onClick={() => ask(() => call("queue_retry", { path: { id: job.id } }))}
              >
                <Icon icon={faRotateRight} /> Try again
              </Button>
            )}
          </JobLine>
        ))}
      </section>
    </div>
  );
};

const order = (job: Job): number => (job.state === "queued" ? 1e12 + job.id : job.id);

/** Does something at the server, then shows how things are. */
type Ask = (work: () => Promise<unknown>) => void;
type Start = (type: string, params: Record<string, unknown>) => void;

/** What the owner starts most, with the choices that matter. */
const Starters: React.FC<{ busy: Set<string>; disabled: boolean; start: Start }> = ({ busy, disabled, start }) => {
  const [images, setImages] = React.useState(false);
  const [newest, setNewest] = React.useState(true);
  const [full, setFull] = React.useState(false);
  const off = (type: string) => disabled || busy.has(type);
  return (
    <div className="sense-grid">
      <Starter title="Scan the library" text="Looks at what is new, changed or failed, and names people.">
        <Check id="sense-scan-images" label="Images too" checked={images} set={setImages} />
        <Check id="sense-scan-newest" label="Newest first" checked={newest} set={setNewest} />
        <Button
          disabled={off("scan")}
          onClick={() => start("scan", { kinds: images ? ["scene", "image"] : ["scene"], newest_first: newest })}
        >
          <Icon icon={faPlay} /> Scan
        </Button>
      </Starter>
      <Starter title="Name people again" text="From stored faces, after a change of the performers. Decodes nothing.">
        <Check id="sense-rematch-full" label="Also what is up to date" checked={full} set={setFull} />
        <Button disabled={off("rematch")} onClick={() => start("rematch", { full })}>
          <Icon icon={faPlay} /> Name again
        </Button>
      </Starter>
      <Starter title="Enrol from Stash" text="Your performers, from their pictures, scenes and galleries.">
        <Button disabled={off("enroll_local")} onClick={() => start("enroll_local", {})}>
          <Icon icon={faPlay} /> Enrol from Stash
        </Button>
      </Starter>
      <Starter title="Enrol from stash-boxes" text="Performers of the boxes that Stash knows: only what changed.">
        <Button disabled={off("enroll_stashbox")} onClick={() => start("enroll_stashbox", {})}>
          <Icon icon={faPlay} /> Enrol from boxes
        </Button>
      </Starter>
    </div>
  );
};

const Starter: React.FC<{ title: string; text: string }> = ({ title, text, children }) => (
  <div className="card sense-card sense-starter">
    <h5 className="sense-card-title">{title}</h5>
    <p className="text-muted sense-small">{text}</p>
    {children}
  </div>
);

const Check: React.FC<{ id: string; label: string; checked: boolean; set: (on: boolean) => void }> = (props) => (
  <Form.Check
    id={props.id}
    label={props.label}
    checked={props.checked}
    onChange={(event: React.ChangeEvent<HTMLInputElement>) => props.set(event.target.checked)}
  />
);

const Reasons: React.FC<{ library: LibraryStatus | undefined }> = ({ library }) => {
  const reasons = library?.scans.reasons ?? {};
  const rows = Object.entries(reasons);
  if (!rows.length) return null;
  const retryable = library?.scans.retryable ?? 0;
  return (
    <section className="sense-section">
      <h4>Files that could not be looked at</h4>
      <table className="table table-sm table-striped sense-table">
        <thead>
          <tr>
            <th scope="col">Reason</th>
            <th scope="col" className="text-right">
              Files
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([reason, number]) => (
            <tr key={reason}>
              <td>{plain(reason)}</td>
              <td className="text-right">{count(number)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="text-muted">
        {retryable
          ? `${several(retryable, "file")} will be tried again by the next scan.`
          : "None of these would pass if tried again."}
      </p>
    </section>
  );
};

const Schedules: React.FC<{
  schedules: Schedule[];
  titles: Record<string, string>;
  disabled: boolean;
  ask: Ask;
}> = ({ schedules, titles, disabled, ask }) => {
  /** What was just set, until the server's own word comes. */
  const [set, keep] = React.useState<Record<string, { enabled: boolean; interval_hours: number }>>({});
  React.useEffect(() => keep({}), [schedules]);
  return (
    <div className="sense-rows">
      {schedules.map((known) => {
        const one = { ...known, ...set[known.type] };
        const change = (body: { enabled: boolean; interval_hours: number }) => {
          keep((before) => ({ ...before, [one.type]: body }));
          ask(() => call("schedule_set", { path: { type: one.type }, body }));
        };
        return (
          <div key={one.type} className="sense-row sense-schedule">
            <Form.Check
              type="switch"
              id={`sense-schedule-${one.type}`}
              label={titles[one.type] ?? plain(one.type)}
              checked={one.enabled}
              disabled={disabled}
              onChange={() => change({ enabled: !one.enabled, interval_hours: one.interval_hours })}
            />
            <Form.Control
              as="select"
              size="sm"
              custom
              aria-label={`How often: ${titles[one.type] ?? one.type}`}
              value={one.interval_hours}
              disabled={disabled}
              onChange={(event: React.ChangeEvent<HTMLInputElement>) =>
                change({ enabled: one.enabled, interval_hours: Number(event.target.value) })
              }
            >
              {one.intervals.map((interval) => (
                <option key={interval.hours} value={interval.hours}>
                  {interval.label}
                </option>
              ))}
            </Form.Control>
            <span className={one.enabled ? "text-muted sense-small" : "text-muted sense-small sense-schedule-off"}>
              {one.enabled && one.next_run_at ? `next ${when(one.next_run_at)}` : "off"}
            </span>
          </div>
        );
      })}
    </div>
  );
};
