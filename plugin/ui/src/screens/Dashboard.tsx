// What there is, whether all is well, and what to do next. One call of the backend.
import React from "react";
import { Link } from "react-router-dom";
import {
  faArrowRight,
  faCircleCheck,
  faCircleXmark,
  faCloudArrowDown,
  faDatabase,
} from "@fortawesome/free-solid-svg-icons";
import { faFilm, faServer } from "@fortawesome/free-solid-svg-icons";
import type { IconDefinition } from "@fortawesome/free-solid-svg-icons";
import { many, unwrap } from "../backend";
import { useAsk } from "../hooks";
import { Icon } from "../parts/Icon";
import { Shown } from "../parts/states";
import { Pairing } from "../parts/Pairing";
import type { StatusCounts, TypeInfo } from "../recommendations/records";
import { TypeCards } from "../recommendations/TypeCards";
import type { DatabaseInfo, Health, LibraryStatus, QueueStatus, StashInfo } from "../types";
import { ago, bytes, count, several } from "../words";
import { JobLine } from "../parts/JobLine";
import { screenUrl } from "./Page";

interface Overview {
  health: Health;
  database?: DatabaseInfo;
  library?: LibraryStatus;
  stash?: StashInfo;
  queue: QueueStatus;
  types: TypeInfo[];
  counts?: { types: Record<string, StatusCounts>; pending: number };
}

async function overview(): Promise<Overview> {
  const [health, database, library, stash, queue, types, counts] = await many([
    { mode: "health" },
    { mode: "database_info" },
    { mode: "library_status" },
    { mode: "stash" },
    { mode: "queue_status" },
    { mode: "recommendation_types" },
    { mode: "recommendation_counts" },
  ]);
  // Where only a part of the server cannot answer, the others are shown.
  return {
    health: unwrap(health),
    database: database.output,
    library: library.output,
    stash: stash.output,
    queue: unwrap(queue), // the part that needs the key and nothing else
    types: types.output?.types ?? [],
    counts: counts.output,
  };
}

export const Dashboard: React.FC = () => {
  const asked = useAsk(overview, "dashboard", (data) => (data?.queue.jobs.length ? 5000 : 30000));
  return <Shown asked={asked}>{(data) => <Whole data={data} reload={asked.reload} />}</Shown>;
};

const Whole: React.FC<{ data: Overview; reload: () => void }> = ({ data, reload }) => {
  const steps = nextSteps(data);
  return (
    <div className="sense-dashboard">
      {data.stash && !data.stash.url && data.stash.can_pair ? <Pairing done={reload} /> : null}
      <div className="sense-grid">
        <ServerCard data={data} />
        <StashCard stash={data.stash} />
        <DatabaseCard database={data.database} />
        <LibraryCard library={data.library} stash={data.stash} />
      </div>
      {data.queue.jobs.length ? (
        <section className="sense-section">
          <h4>Under way</h4>
          {data.queue.jobs.map((job) => (
            <JobLine key={job.id} job={job} />
          ))}
        </section>
      ) : null}
      {steps.length ? (
        <section className="sense-section">
          <h4>What to do next</h4>
          <ul className="sense-steps">
            {steps.map((step) => (
              <li key={step.text}>
                <Link to={step.to}>
                  <Icon icon={faArrowRight} /> {step.text}
                </Link>
                <span className="text-muted"> {step.why}</span>
              </li>
            ))}
          </ul>
        </section>
      ) : null}
      {data.types.length ? (
        <section className="sense-section">
          <h4>Recommendations</h4>
          <TypeCards types={data.types} counts={data.counts?.types} />
        </section>
      ) : null}
    </div>
  );
};

interface Step {
  text: string;
  why: string;
  to: string;
}

function nextSteps({ database, library, stash, queue, counts }: Overview): Step[] {
  const steps: Step[] = [];
  const busy = new Set(queue.jobs.map((job) => job.type));
  if (stash?.answers && !database?.performer_count) {
    const why = "Nobody can be named before somebody is enrolled.";
    steps.push({ text: "Enrol performers", why, to: screenUrl("operations") });
  }
  const scanned = library?.scans.scenes ?? 0;
  if (stash?.answers && scanned < stash.scenes && !busy.has("scan")) {
    const left = several(stash.scenes - scanned, "scene");
    steps.push({ text: "Scan the library", why: `${left} not looked at yet.`, to: screenUrl("operations") });
  }
  const stale = library?.matches.stale ?? 0;
  if (stale && !busy.has("rematch")) {
    const why = `${several(stale, "scene or image", "scenes and images")} known with older performers.`;
    steps.push({ text: "Name people again", why, to: screenUrl("operations") });
  }
  if (counts?.pending) {
    const why = `${several(counts.pending, "recommendation")} to decide.`;
    steps.push({ text: "Review", why, to: screenUrl("recommendations") });
  }
  return steps;
}

const Card: React.FC<{ title: string; icon: IconDefinition; bad?: boolean; to?: string }> = (props) => (
  <div className={`card sense-card ${props.bad ? "sense-card-bad" : ""}`}>
    <h5 className="sense-card-title">
      <Icon icon={props.icon} /> {props.to ? <Link to={props.to}>{props.title}</Link> : props.title}
    </h5>
    {props.children}
  </div>
);

const State: React.FC<{ good: boolean }> = ({ good, children }) => (
  <div className={good ? "sense-good" : "sense-bad"}>
    <Icon icon={good ? faCircleCheck : faCircleXmark} /> {children}
  </div>
);

const Big: React.FC<{ value: number; word: string }> = ({ value, word }) => (
  <div>
    <span className="sense-big">{count(value)}</span> {word}
  </div>
);

const ServerCard: React.FC<{ data: Overview }> = ({ data }) => {
  const working = data.queue.supervising !== false;
  return (
    <Card title="Server" icon={faServer} bad={!working} to={screenUrl("settings", { section: "hardware" })}>
      <State good>Connected, version {data.health.version}</State>
      <State good={working}>{working ? "Jobs can run" : "Jobs are starting again"}</State>
    </Card>
  );
};

const StashCard: React.FC<{ stash: StashInfo | undefined }> = ({ stash }) => (
  <Card title="Stash" icon={faFilm} bad={!stash?.answers} to={screenUrl("settings", { section: "stash" })}>
    {stash?.answers ? (
      <>
        <State good>Answers, version {stash.version}</State>
        <Big value={stash.scenes} word="scenes" />
        <div className="text-muted">
          {several(stash.images, "image")}, {several(stash.performers, "performer")}
        </div>
      </>
    ) : (
      <State good={false}>{stash?.problem?.message ?? "The server does not know where Stash is."}</State>
    )}
  </Card>
);

const DatabaseCard: React.FC<{ database: DatabaseInfo | undefined }> = ({ database }) => (
  <Card
    title="Performer database"
    icon={faDatabase}
    bad={!database}
    to={screenUrl("settings", { section: "database" })}
  >
    {database ? (
      <>
        <Big value={database.performer_count} word="people" />
        <div className="text-muted">
          {several(database.face_count, "face")}, {bytes(database.size_bytes)}
        </div>
        <div className="text-muted">
          <Icon icon={faCloudArrowDown} /> {ago(database.created)}
        </div>
      </>
    ) : (
      <State good={false}>Nobody is enrolled.</State>
    )}
  </Card>
);

const LibraryCard: React.FC<{ library: LibraryStatus | undefined; stash: StashInfo | undefined }> = (props) => {
  const kept = props.library?.scans.scenes ?? 0; // with those of scenes that are gone, until they are tidied
  const all = props.stash?.scenes ?? 0;
  const scanned = all ? Math.min(kept, all) : kept;
  const share = all ? Math.min(1, scanned / all) : 0;
  return (
    <Card title="Scanned" icon={faFilm} to={screenUrl("operations")}>
      <Big value={scanned} word={all ? `of ${several(all, "scene")}` : "scenes"} />
      <div className="progress sense-progress" aria-hidden="true">
        <div className="progress-bar" style={{ width: `${share * 100}%` }} />
      </div>
      <div className="text-muted">
        {several(props.library?.matches.performers ?? 0, "performer")} found,{" "}
        {several(props.library?.matches.unknown ?? 0, "unknown person", "unknown people")}
      </div>
    </Card>
  );
};
