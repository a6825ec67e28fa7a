// A card for each type of recommendations: how many wait, and how far the owner has come. For the dashboard.
import React from "react";
import { Link } from "react-router-dom";
import { ago, count } from "../words";
import { write } from "./filters";
import type { StatusCounts, TypeInfo } from "./records";

const ROUTE = "/plugins/stash-sense";
const NONE: StatusCounts = { pending: 0, resolved: 0, dismissed: 0, closed: 0 };

export const TypeCards: React.FC<{ types: TypeInfo[]; counts: Record<string, StatusCounts> | undefined }> = (props) => (
  <div className="sense-grid">
    {props.types.map((type) => (
      <TypeCard key={type.id} type={type} counts={props.counts?.[type.id] ?? NONE} />
    ))}
  </div>
);

const TypeCard: React.FC<{ type: TypeInfo; counts: StatusCounts }> = ({ type, counts }) => {
  const decided = counts.resolved + counts.dismissed;
  const all = decided + counts.pending;
  const search = write({
    view: "list",
    type: type.id,
    status: "pending",
    q: "",
    min: 0,
    sort: "confidence",
    page: 1,
    open: null,
  });
  const last = type.last_run?.ended_at ?? type.watermark_at;
  return (
    <Link className="card sense-card sense-type" to={`${ROUTE}?${search}`} data-type={type.id}>
      <h5 className="sense-card-title">{type.title}</h5>
      <div>
        <span className="sense-big">{count(counts.pending)}</span> {type.informational ? "to know" : "pending"}
      </div>
      <div className="progress sense-progress" aria-hidden="true">
        <div className="progress-bar bg-success" style={{ width: `${all ? (counts.resolved / all) * 100 : 0}%` }} />
        <div
          className="progress-bar sense-dismissed"
          style={{ width: `${all ? (counts.dismissed / all) * 100 : 0}%` }}
        />
      </div>
      <div className="text-muted">
        {count(counts.resolved)} resolved, {count(counts.dismissed)} dismissed
      </div>
      <div className="text-muted sense-small">{last ? `Looked for ${ago(last)}` : "Not looked for yet"}</div>
    </Link>
  );
};
