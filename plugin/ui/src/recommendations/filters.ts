// Which recommendations are shown; all of it is in the URL, so that a reload, a link and the back button keep it.
import { useCallback, useMemo } from "react";
import { useHistory, useLocation } from "react-router-dom";
import type { Status } from "./records";
import { STATUSES } from "./records";

export const PAGE_SIZE = 40;
export const SORTS = ["confidence", "newest", "oldest", "title"] as const;
export type Sort = (typeof SORTS)[number];
/** In place of an id: the one at this end of the page, once the page is there. */
export type Open = number | "first" | "last" | null;

export interface Wanted {
  view: "list" | "history";
  type: string;
  status: Status | "all";
  q: string;
  min: number;
  sort: Sort;
  page: number;
  open: Open;
}

const one = <T extends string>(value: string | null, allowed: readonly T[], otherwise: T): T =>
  allowed.find((known) => known === value) ?? otherwise;

const natural = (value: string | null, otherwise: number): number =>
  value && /^\d{1,15}$/.test(value) ? Number(value) : otherwise;

export function read(search: string): Wanted {
  const query = new URLSearchParams(search);
  const open = query.get("id");
  return {
    view: query.get("view") === "history" ? "history" : "list",
    type: query.get("type") ?? "",
    status: one(query.get("status"), [...STATUSES, "all"] as const, "pending"),
    q: query.get("q") ?? "",
    min: Math.min(100, natural(query.get("min"), 0)),
    sort: one(query.get("sort"), SORTS, "confidence"),
    page: Math.max(1, natural(query.get("page"), 1)),
    open: open === "first" || open === "last" ? open : natural(open, 0) || null,
  };
}

export function write(wanted: Wanted): string {
  const query = new URLSearchParams({ tab: "recommendations" });
  if (wanted.view !== "list") query.set("view", wanted.view);
  if (wanted.type) query.set("type", wanted.type);
  if (wanted.status !== "pending") query.set("status", wanted.status);
  if (wanted.q) query.set("q", wanted.q);
  if (wanted.min) query.set("min", String(wanted.min));
  if (wanted.sort !== "confidence") query.set("sort", wanted.sort);
  if (wanted.page > 1) query.set("page", String(wanted.page));
  if (wanted.open) query.set("id", String(wanted.open));
  return query.toString();
}

/** The filter as the server's bulk routes take it. */
export function filterOf(wanted: Wanted): Record<string, unknown> {
  return {
    ...(wanted.type ? { type: [wanted.type] } : {}),
    ...(wanted.status === "all" ? {} : { status: [wanted.status] }),
    ...(wanted.q ? { q: wanted.q } : {}),
    ...(wanted.min ? { min_confidence: wanted.min } : {}),
  };
}

export interface Filters {
  wanted: Wanted;
  /** Another selection begins at its first page; `push` makes an entry of the history. */
  set: (change: Partial<Wanted>, push?: boolean) => void;
  urlOf: (change: Partial<Wanted>) => string;
}

export function useFilters(): Filters {
  const location = useLocation();
  const history = useHistory();
  const wanted = useMemo(() => read(location.search), [location.search]);
  const urlOf = useCallback(
    (change: Partial<Wanted>) => {
      const now = read(history.location.search);
      return `${history.location.pathname}?${write({ ...now, page: "page" in change || "open" in change ? now.page : 1, ...change })}`;
    },
    [history],
  );
  const set = useCallback(
    (change: Partial<Wanted>, push = false) => (push ? history.push(urlOf(change)) : history.replace(urlOf(change))),
    [history, urlOf],
  );
  return { wanted, set, urlOf };
}
