// A page of recommendations: rows to open and to choose from.
import React from "react";
import { Link } from "react-router-dom";
import { Confidence, Face } from "../parts/faces";
import { ago } from "../words";
import type { Filters } from "./filters";
import type { Recommendation, TypeInfo } from "./records";
import { faces, thumbnails } from "./pictures";

interface Props {
  filters: Filters;
  found: Recommendation[];
  types: TypeInfo[];
  chosen: Set<number>;
  choose: (ids: number[], on: boolean) => void;
}

export const Rows: React.FC<Props> = ({ filters, found, types, chosen, choose }) => {
  const titles = Object.fromEntries(types.map((type) => [type.id, type.title]));
  return (
    <ul className="sense-findings" aria-label="Recommendations">
      {found.map((one) => (
        <li
          key={one.id}
          className={`sense-finding ${chosen.has(one.id) ? "sense-finding-chosen" : ""}`}
          data-id={one.id}
        >
          <input
            type="checkbox"
            className="sense-finding-check"
            aria-label={`Choose ${one.title}`}
            checked={chosen.has(one.id)}
            onChange={(event) => choose([one.id], event.target.checked)}
          />
          <Link className="sense-finding-link" to={filters.urlOf({ open: one.id })}>
            <span className="sense-finding-pictures" aria-hidden="true">
              {faces(one).map((path) => (
                <Face key={path} path={path} name="" size={56} />
              ))}
              {thumbnails(one)
                .slice(0, 2 - faces(one).length)
                .map((url) => (
                  <img key={url} src={url} alt="" loading="lazy" />
                ))}
            </span>
            <span className="sense-finding-text">
              <span className="sense-finding-title">{one.title}</span>
              <span className="sense-finding-summary">{one.summary}</span>
              <span className="text-muted sense-small">
                {filters.wanted.type ? "" : `${titles[one.type] ?? one.type} · `}
                {one.status === "pending" ? "" : `${one.status}${one.reason ? `: ${one.reason}` : ""} · `}
                {ago(one.updated_at)}
              </span>
            </span>
            <Confidence value={one.confidence / 100} />
          </Link>
        </li>
      ))}
    </ul>
  );
};
