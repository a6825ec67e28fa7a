// Exactly what an action will change, as a table; long ones by page.
import React from "react";
import { Badge } from "react-bootstrap";
import { Pages } from "../parts/Pages";
import type { Change } from "../types";
import { plain } from "../words";

const AT_ONCE = 50;

export const Changes: React.FC<{ changes: Change[] }> = ({ changes }) => {
  const [offset, setOffset] = React.useState(0);
  if (!changes.length) return <p className="text-muted">Nothing would change.</p>;
  return (
    <>
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by key */}
      <div className="sense-table-wrap" role="region" aria-label="Changes" tabIndex={0}>
        <table className="table table-sm sense-changes">
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Field</th>
              <th scope="col">Now</th>
              <th scope="col">Afterwards</th>
            </tr>
          </thead>
          <tbody>
            {changes.slice(offset, offset + AT_ONCE).map((change, place) => (
              <tr key={place} className={change.destructive ? "sense-change-gone" : ""}>
                <td>
                  {plain(change.entity)} {change.entity_id}
                  {change.title ? <div className="text-muted sense-small">{change.title}</div> : null}
                </td>
                <td>{change.field === "exists" ? "" : fieldWords(change.field ?? "")}</td>
                {change.field === "exists" ? (
                  <td colSpan={2}>
                    <Badge variant={change.after ? "success" : "danger"}>{change.after ? "is made" : "goes"}</Badge>
                  </td>
                ) : (
                  <>
                    <td>
                      <Value value={change.before} />
                    </td>
                    <td>
                      <Value value={change.after} known={change.before} />
                    </td>
                  </>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {changes.length > AT_ONCE ? <Pages total={changes.length} size={AT_ONCE} offset={offset} go={setOffset} /> : null}
    </>
  );
};

const FIELDS: Record<string, string> = {
  rating100: "rating",
  o_history: "O history",
  primary_file_id: "primary file",
  alias_list: "aliases",
  height_cm: "height",
  stash_ids: "stash-box ids",
};

/** "performer_ids" -> "performers". */
const fieldWords = (field: string): string =>
  FIELDS[field] ?? plain(field.replace(/_ids$/, "s").replace(/_id$/, "").replace(/ys$/, "ies"));

const text = (value: unknown): string =>
  typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);

/** A value as people read it; of lists, what is new stands out. */
const Value: React.FC<{ value: unknown; known?: unknown }> = ({ value, known }) => {
  if (value === null || value === undefined || value === "") return <span className="text-muted">nothing</span>;
  if (typeof value === "boolean") return <>{value ? "yes" : "no"}</>;
  if (!Array.isArray(value)) return <span className="sense-break">{text(value)}</span>;
  if (!value.length) return <span className="text-muted">none</span>;
  const before = new Set(Array.isArray(known) ? known.map(text) : []);
  return (
    <ul className="sense-values">
      {value.map((item, place) => {
        const said = text(item);
        return (
          <li key={place} className={known !== undefined && !before.has(said) ? "sense-value-new" : ""}>
            {said}
          </li>
        );
      })}
    </ul>
  );
};
