// The model packs of the server: what is there and right, fetching what lacks with its progress, licences, verifying.
import React from "react";
import { Badge, Button, Modal } from "react-bootstrap";
import { faCheckDouble, faCloudArrowDown, faStop } from "@fortawesome/free-solid-svg-icons";
import { call, many, unwrap } from "../backend";
import { useAsk, useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { JobLine } from "../parts/JobLine";
import { Failure, Shown } from "../parts/states";
import type { Answer } from "../server";
import type { Job, ModelFile } from "../types";
import { bytes } from "../words";

type Status = Answer<"models">;
type Pack = Status["packs"][number];
const COLOURS = { installed: "success", missing: "secondary", corrupted: "danger" };
const LIVE = new Set(["queued", "running", "stopping"]);

interface Whole extends Status {
  /** The newest job of each pack that is live or did not end well. */
  jobs: Map<string, Job>;
}

async function whole(): Promise<Whole> {
  const [models, queue] = await many([
    { mode: "models" },
    { mode: "queue", query: { type: "fetch_models", limit: 20 } },
  ]);
  const jobs = new Map<string, Job>();
  for (const job of [...unwrap(queue).jobs].reverse()) jobs.set(String(job.params["pack"]), job);
  for (const [pack, job] of jobs) if (job.state === "done") jobs.delete(pack);
  return { ...unwrap(models), jobs };
}

export const Models: React.FC = () => {
  const live = (data: Whole | undefined) => [...(data?.jobs.values() ?? [])].some((job) => LIVE.has(job.state));
  const asked = useAsk(whole, "models", (data) => (live(data) ? 1000 : 30000));
  return (
    <Shown asked={asked}>
      {({ pack, packs, models, jobs }) => (
        <>
          {packs.map((one) => (
            <PackCard
              key={one.id}
              pack={one}
              used={one.id === pack}
              files={models.filter((file) => file.pack === one.id)}
              job={jobs.get(one.id)}
              changed={asked.reload}
            />
          ))}
          <p className="text-muted mt-3">
            Another pack is chosen with the setting <code>pack</code>; it counts after a restart, and people must be
            enrolled with it anew.
          </p>
        </>
      )}
    </Shown>
  );
};

const PackCard: React.FC<{
  pack: Pack;
  used: boolean;
  files: ModelFile[];
  job: Job | undefined;
  changed: () => void;
}> = ({ pack, used, files, job, changed }) => {
  const { doing, error, run } = useDoing();
  const [said, say] = React.useState("");
  const [reading, setReading] = React.useState(false);
  const live = job && LIVE.has(job.state) ? job : undefined;
  const fetchIt = (accepted: boolean) =>
    void run(async () => {
      setReading(false);
      say("");
      await call("queue_submit", {
        body: { type: "fetch_models", params: { pack: pack.id, accept_licence: accepted } },
      });
    }).then(changed);
  const verify = () =>
    void run(async () => {
      say("");
      const found = await call("models_verify", { path: { id: pack.id } });
      const wrong = found.models.filter((file) => file.state !== "installed");
      say(
        wrong.length
          ? `Not right: ${wrong.map((file) => `${file.file} is ${file.state}`).join(", ")}.`
          : found.computes === false
            ? "The files are right, but what they compute here is not what it should be."
            : `All files are right${found.computes ? ", and compute what they should" : ""}.`,
      );
      changed();
    });
  const lacking = pack.state !== "installed";
  const ask = pack.must_accept && !pack.licence_accepted;
  return (
    <section className="sense-section" data-pack={pack.id} aria-label={`Model pack ${pack.id}`}>
      <div className="sense-section-head">
        <h5>
          {pack.id} {used ? <Badge variant="success">in use</Badge> : null}
        </h5>
        <span className="sense-buttons">
          {lacking && !live ? (
            <Button
              size="sm"
              disabled={doing || Boolean(pack.why_not)}
              onClick={() => (ask ? setReading(true) : fetchIt(false))}
            >
              <Icon icon={faCloudArrowDown} /> Download {bytes(missing(files))}
            </Button>
          ) : null}
          {files.some((file) => file.state !== "missing") && !live ? (
            <Button size="sm" variant="secondary" disabled={doing} onClick={verify}>
              <Icon icon={faCheckDouble} spin={doing} /> Verify
            </Button>
          ) : null}
        </span>
      </div>
      <p className="text-muted sense-small">
        {pack.title}. Licence: {pack.licence}
        {pack.must_accept ? (pack.licence_accepted ? ", accepted" : ", not accepted yet") : ""}.
        {lacking && !pack.why_not ? ` From: ${pack.source}.` : ""}
      </p>
      {lacking && pack.why_not ? <p className="sense-note">{pack.why_not}</p> : null}
      {error ? <Failure error={error} /> : null}
      <div role="status">{said ? <div className="sense-note">{said}</div> : null}</div>
      {job && (live || lacking) ? (
        <JobLine job={job} title="Fetch models">
          {live ? (
            <Button
              size="sm"
              variant="secondary"
              disabled={doing || live.state === "stopping"}
              onClick={() =>
                void run(async () => {
                  await call(live.state === "queued" ? "queue_cancel" : "queue_stop", { path: { id: live.id } });
                }).then(changed)
              }
            >
              <Icon icon={faStop} /> Stop
            </Button>
          ) : null}
        </JobLine>
      ) : null}
      <div className="sense-rows">
        {files.map((file) => (
          <div key={file.file} className="sense-row" data-file={file.file}>
            <span className="sense-break">{file.file}</span>
            <Badge variant={COLOURS[file.state]}>{file.state}</Badge>
            <span className="text-muted sense-small sense-last">
              {bytes(file.size_bytes ?? file.expected_size_bytes)}
            </span>
          </div>
        ))}
      </div>
      {reading ? <Licence pack={pack} close={() => setReading(false)} accept={() => fetchIt(true)} /> : null}
    </section>
  );
};

const missing = (files: ModelFile[]): number =>
  files.filter((file) => file.state !== "installed").reduce((sum, file) => sum + file.expected_size_bytes, 0);

const Licence: React.FC<{ pack: Pack; close: () => void; accept: () => void }> = ({ pack, close, accept }) => {
  const asked = useAsk(() => call("model_licence", { path: { id: pack.id } }), pack.id);
  return (
    <Modal show onHide={close} size="lg" scrollable aria-labelledby="sense-licence-title">
      <Modal.Header closeButton>
        <Modal.Title id="sense-licence-title">{pack.licence}</Modal.Title>
      </Modal.Header>
      <Modal.Body>
        <Shown asked={asked}>
          {({ text }) => (
            // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by key
            <pre className="sense-licence" role="region" aria-label="Licence" tabIndex={0}>
              {text}
            </pre>
          )}
        </Shown>
      </Modal.Body>
      <Modal.Footer>
        <Button variant="secondary" onClick={close}>
          Cancel
        </Button>
        <Button disabled={!asked.data} onClick={accept}>
          Accept and download
        </Button>
      </Modal.Footer>
    </Modal>
  );
};
