// The types of recommendations with how many wait: beside the list where there is room, else a row that scrolls.
import React from "react";
import { Link } from "react-router-dom";
import { count } from "../words";
import type { Filters } from "./filters";
import type { StatusCounts, TypeInfo } from "./records";

interface Props {
  filters: Filters;
  types: TypeInfo[];
  counts: Record<string, StatusCounts>;
}

export const TypeList: React.FC<Props> = ({ filters, types, counts }) => {
  const { wanted, urlOf } = filters;
  const shown = wanted.status === "all" ? "pending" : wanted.status;
  const all = types
    .filter((type) => !type.informational)
    .reduce((sum, type) => sum + (counts[type.id]?.[shown] ?? 0), 0);
  const list = React.useRef<HTMLElement>(null);
  React.useEffect(() => {
    const current = list.current?.querySelector<HTMLElement>(".active");
    if (list.current && current) list.current.scrollLeft = current.offsetLeft - 16; // where it is a row
  }, [wanted.view, wanted.type]);
  const entry = (id: string, title: string, number: number) => {
    const current = wanted.view === "list" && wanted.type === id;
    return (
      <Link
        key={id}
        className={`sense-type-link ${current ? "active" : ""}`}
        aria-current={current ? "page" : undefined}
        to={urlOf({ view: "list", type: id, open: null, page: 1 })}
      >
        <span>{title}</span>
        <span className={`sense-count ${number ? "" : "sense-count-none"}`}>
          {count(number)} <span className="sr-only">{shown}</span>
        </span>
      </Link>
    );
  };
  return (
    <nav ref={list} className="sense-type-list" aria-label="Types of recommendations">
      {entry("", "All", all)}
      {types.map((type) => entry(type.id, type.title, counts[type.id]?.[shown] ?? 0))}
      <Link
        className={`sense-type-link sense-type-history ${wanted.view === "history" ? "active" : ""}`}
        aria-current={wanted.view === "history" ? "page" : undefined}
        to={urlOf({ view: "history", open: null, page: 1 })}
      >
        What was done
      </Link>
    </nav>
  );
};
