// Status, search, least confidence and order of a list.
import React from "react";
import { Form } from "react-bootstrap";
import { useSettled } from "../hooks";
import { count } from "../words";
import { ExportButton } from "./ExportButton";
import { SORTS } from "./filters";
import type { Filters, Sort } from "./filters";
import { STATUSES } from "./records";
import type { Status, StatusCounts } from "./records";

const SORT_WORDS: Record<Sort, string> = {
  confidence: "Surest first",
  newest: "Newest first",
  oldest: "Oldest first",
  title: "By title",
};

type Changed = React.ChangeEvent<HTMLInputElement>;

interface Props {
  filters: Filters;
  counts: StatusCounts;
  /** How many the filter lets through. */
  total: number;
}

export const FilterBar: React.FC<Props> = ({ filters, counts, total }) => {
  const { wanted, set } = filters;
  const [text, setText] = React.useState(wanted.q);
  const [min, setMin] = React.useState(wanted.min);
  const settledText = useSettled(text);
  const settledMin = useSettled(min);
  const asked = React.useRef({ q: wanted.q, min: wanted.min });
  React.useEffect(() => {
    if (settledText === asked.current.q && settledMin === asked.current.min) return;
    asked.current = { q: settledText, min: settledMin };
    set({ q: settledText, min: settledMin, page: 1 });
  }, [settledText, settledMin, set]);
  React.useEffect(() => {
    if (wanted.q === asked.current.q && wanted.min === asked.current.min) return;
    asked.current = { q: wanted.q, min: wanted.min };
    setText(wanted.q);
    setMin(wanted.min);
  }, [wanted.q, wanted.min]);
  return (
    <div className="sense-filters" role="search" aria-label="Filter of recommendations">
      <Form.Control
        type="search"
        className="text-input sense-filter-text"
        aria-label="Search title, names and paths"
        placeholder="Search title, names, paths …"
        value={text}
        onChange={(event: Changed) => setText(event.target.value)}
      />
      <Form.Control
        as="select"
        custom
        className="sense-filter-select"
        aria-label="Status"
        value={wanted.status}
        onChange={(event: Changed) => set({ status: event.target.value as Status | "all", page: 1 })}
      >
        {STATUSES.map((status) => (
          <option key={status} value={status}>
            {status} ({count(counts[status])})
          </option>
        ))}
        <option value="all">any status</option>
      </Form.Control>
      <Form.Control
        as="select"
        custom
        className="sense-filter-select"
        aria-label="Order"
        value={wanted.sort}
        onChange={(event: Changed) => set({ sort: event.target.value as Sort, page: 1 })}
      >
        {SORTS.map((sort) => (
          <option key={sort} value={sort}>
            {SORT_WORDS[sort]}
          </option>
        ))}
      </Form.Control>
      <label className="sense-filter-range">
        <span>at least {min} %</span>
        <input
          type="range"
          className="custom-range"
          min={0}
          max={100}
          step={5}
          aria-label="Least confidence in percent"
          value={min}
          onChange={(event) => setMin(Number(event.target.value))}
        />
      </label>
      <ExportButton wanted={wanted} total={total} />
    </div>
  );
};
