import React from "react";
import { Badge } from "react-bootstrap";
import type { Job } from "../types";
import { ago, count, percent, plain, span } from "../words";

const COLOURS: Record<string, string> = {
  queued: "secondary",
  running: "primary",
  stopping: "warning",
  done: "success",
  failed: "danger",
  stopped: "warning",
  cancelled: "secondary",
};

/** One job: what it is, how far it is, and what can be done about it. */
export const JobLine: React.FC<{ job: Job; title?: string; children?: React.ReactNode }> = ({
  job,
  title,
  children,
}) => {
  const share = job.total ? Math.min(1, job.done / job.total) : undefined;
  const live = job.state === "running" || job.state === "stopping";
  return (
    <div className="sense-job" data-job={job.id} data-type={job.type} data-state={job.state}>
      <div className="sense-job-head">
        <strong>{title ?? plain(job.type)}</strong>
        <Badge variant={COLOURS[job.state] ?? "secondary"}>{job.state}</Badge>
        <span className="text-muted sense-small">{told(job)}</span>
        <span className="sense-buttons">{children}</span>
      </div>
      {live ? (
        <div
          className="progress sense-progress"
          role="progressbar"
          aria-label={`Progress of ${title ?? plain(job.type)}`}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={share === undefined ? undefined : Math.round(share * 100)}
        >
          <div
            className={`progress-bar ${share === undefined ? "progress-bar-striped progress-bar-animated" : ""}`}
            style={{ width: share === undefined ? "100%" : `${share * 100}%` }}
          />
        </div>
      ) : null}
      {job.error_message ? <div className="sense-bad">{job.error_message}</div> : null}
      <Counts counts={job.counts} />
    </div>
  );
};

/** What jobs count in; things where it is not here. */
const UNITS: Record<string, string> = { fetch_models: "MB", database_update: "%", database_import: "%" };
const STAGE = "stage.";

function progressed(job: Job): string {
  const unit = UNITS[job.type];
  if (!job.total) return job.done ? `${count(job.done)}${unit ? ` ${unit}` : ""}` : "";
  const share = percent(job.done / job.total);
  return unit === "%" ? share : `${count(job.done)} of ${count(job.total)}${unit ? ` ${unit}` : ""} (${share})`;
}

function told(job: Job): string {
  if (job.state === "queued") return job.waiting_for || "waits for its turn";
  const facts = [];
  const progress = progressed(job);
  if (progress) facts.push(progress);
  if (job.ended_at) {
    if (job.started_at) facts.push(`took ${span((Date.parse(job.ended_at) - Date.parse(job.started_at)) / 1000)}`);
    facts.push(ago(job.ended_at));
  } else {
    const stage = Object.keys(job.counts).find((name) => name.startsWith(STAGE));
    if (stage) facts.push(plain(stage.slice(STAGE.length)));
    if (job.rate_per_s && UNITS[job.type] !== "%")
      facts.push(
        `${job.rate_per_s >= 1 ? `${job.rate_per_s.toFixed(1)}/s` : `${(job.rate_per_s * 60).toFixed(1)}/min`}`,
      );
    if (job.eta_s !== null && job.eta_s !== undefined) facts.push(`${span(job.eta_s)} left`);
  }
  return facts.join(", ");
}

const Counts: React.FC<{ counts: Record<string, number> }> = ({ counts }) => {
  const shown = Object.entries(counts).filter(([name, value]) => value && !name.startsWith(STAGE));
  if (!shown.length) return null;
  return (
    <div className="sense-chips">
      {shown.map(([reason, value]) => (
        <span key={reason} className="sense-chip">
          {plain(reason)} <strong>{count(value)}</strong>
        </span>
      ))}
    </div>
  );
};
