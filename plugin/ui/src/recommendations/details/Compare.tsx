// Several things side by side: one column each, a row for each field, and what differs stands out.
import React from "react";

export interface Field<T> {
  name: string;
  show: (item: T) => React.ReactNode;
  /** What is compared; the shown text by default. */
  key?: (item: T) => unknown;
  /** The larger, the better: the best is marked. */
  rank?: (item: T) => number;
}

interface Props<T> {
  items: T[];
  idOf: (item: T) => string;
  titles: (item: T) => React.ReactNode;
  fields: Field<T>[];
  label: string;
}

export function Compare<T>({ items, idOf, titles, fields, label }: Props<T>): React.ReactElement {
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by key
    <div className="sense-table-wrap" role="region" aria-label={label} tabIndex={0}>
      <table className="table table-sm sense-compare">
        <thead>
          <tr>
            <td />
            {items.map((item) => (
              <th key={idOf(item)} scope="col">
                {titles(item)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {fields.map((field) => {
            const shown = items.map((item) => field.show(item));
            const keys = items.map((item, place) => JSON.stringify(field.key ? field.key(item) : shown[place]));
            const differs = new Set(keys).size > 1;
            const ranks = field.rank ? items.map(field.rank) : [];
            const best = Math.max(...ranks);
            return (
              <tr key={field.name} className={differs ? "sense-differs" : ""}>
                <th scope="row">
                  {field.name}
                  {differs ? <span className="sr-only"> (differs)</span> : null}
                </th>
                {items.map((item, place) => (
                  <td key={idOf(item)} className={differs && ranks[place] === best ? "sense-best" : ""}>
                    {shown[place] || <span className="text-muted">–</span>}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
