// What was found in the library and waits for a decision: lists by type, one by one, and what was done.
import React from "react";
import { useAsk } from "../hooks";
import { Shown } from "../parts/states";
import { list } from "../recommendations/asking";
import type { Listed } from "../recommendations/asking";
import { PAGE_SIZE, useFilters } from "../recommendations/filters";
import type { Filters } from "../recommendations/filters";
import { History } from "../recommendations/History";
import { Listing } from "../recommendations/Listing";
import { NoticeBar, useNotices } from "../recommendations/notices";
import type { Notices } from "../recommendations/notices";
import { Review } from "../recommendations/Review";
import { TypeList } from "../recommendations/TypeList";
import { count } from "../words";

export const Recommendations: React.FC = () => {
  const filters = useFilters();
  const { wanted } = filters;
  const { type, status, q, min, sort, page } = wanted;
  const asked = useAsk(() => list(wanted), JSON.stringify([type, status, q, min, sort, page]));
  const notices = useNotices(asked.reload);
  const last = React.useRef<Listed>();
  if (asked.data) last.current = asked.data;
  // While another page comes, the one before stays in sight, so that nothing jumps.
  const shown = asked.data || asked.error ? asked : { ...asked, data: last.current };
  return (
    <div className="sense-recommendations">
      <Shown asked={shown}>
        {(data) => (
          <>
            <TypeList filters={filters} types={data.types} counts={data.counts} />
            <div className="sense-recommendations-main" aria-busy={asked.loading}>
              {wanted.view === "history" ? (
                <History say={(text) => notices.say({ text })} />
              ) : wanted.open ? (
                <Reviewing
                  filters={filters}
                  data={data}
                  current={asked.data !== undefined && !asked.loading}
                  changed={asked.reload}
                  notices={notices}
                />
              ) : (
                <Listing filters={filters} data={data} changed={asked.reload} notices={notices} />
              )}
            </div>
          </>
        )}
      </Shown>
      <NoticeBar notices={notices} />
    </div>
  );
};

interface ReviewingProps {
  filters: Filters;
  data: Listed;
  /** Whether `data` is of the page in the URL. */
  current: boolean;
  changed: () => void;
  notices: Notices;
}

/** The way through a list, over the borders of its pages. */
const Reviewing: React.FC<ReviewingProps> = ({ filters, data, current, changed, notices }) => {
  const { wanted, set, urlOf } = filters;
  const found = data.page.recommendations;
  const { open } = wanted;
  React.useEffect(() => {
    if (!current || typeof open === "number") return;
    set({ open: (open === "first" ? found[0] : found[found.length - 1])?.id ?? null });
  }, [current, open, found, set]);
  // What comes after a decision may be closed by it, such as another pair of a scene that was merged: then what is next.
  const rest = React.useRef<{ of: typeof found; ids: number[] }>();
  React.useEffect(() => {
    if (!rest.current || rest.current.of === found) return;
    const listed = new Set(found.map((one) => one.id));
    const next = rest.current.ids.find((id) => listed.has(id));
    rest.current = undefined;
    if (typeof open === "number" && !listed.has(open)) set({ open: next ?? null });
  }, [found, open, set]);
  if (typeof open !== "number") return null;
  const at = found.findIndex((one) => one.id === open);
  const pages = Math.ceil(data.page.total / PAGE_SIZE);
  const step = (by: 1 | -1) => {
    const next = at < 0 ? found[0] : found[at + by];
    if (next) set({ open: next.id });
    else if (by > 0 && wanted.page < pages) set({ page: wanted.page + 1, open: "first" });
    else if (by < 0 && wanted.page > 1) set({ page: wanted.page - 1, open: "last" });
  };
  const decided = () => {
    // What is decided leaves a list of what is pending: its neighbours are known before it goes.
    const others = [...found.slice(at + 1), ...found.slice(0, Math.max(0, at)).reverse()].map((one) => one.id);
    rest.current = { of: found, ids: others };
    set({ open: others[0] ?? null });
    changed();
  };
  return (
    <Review
      id={open}
      listed={found[at]}
      types={data.types}
      place={at < 0 ? "" : `${count((wanted.page - 1) * PAGE_SIZE + at + 1)} of ${count(data.page.total)}`}
      back={urlOf({ open: null })}
      step={step}
      decided={decided}
      changed={changed}
      notices={notices}
    />
  );
};
