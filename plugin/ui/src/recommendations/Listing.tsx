// A list of recommendations with its filter, its pages, and what is done about many at once.
import React from "react";
import { Button } from "react-bootstrap";
import { faInbox, faMagnifyingGlass } from "@fortawesome/free-solid-svg-icons";
import { useDoing } from "../hooks";
import { Icon } from "../parts/Icon";
import { Pages } from "../parts/Pages";
import { Empty, Failure } from "../parts/states";
import type { Job } from "../types";
import { ago, several } from "../words";
import { AcceptMany } from "./AcceptMany";
import { analyze, dismiss, restoreBatch } from "./asking";
import type { Chosen, Listed } from "./asking";
import { BulkBar } from "./BulkBar";
import { FilterBar } from "./FilterBar";
import { PAGE_SIZE } from "./filters";
import type { Filters } from "./filters";
import { JobProgress } from "./JobProgress";
import { KeyHelp } from "./KeyHelp";
import { useKeys } from "./keys";
import { Rows } from "./List";
import { UNKNOWN_PERSON } from "./naming";
import type { Notices } from "./notices";
import { STATUSES } from "./records";
import type { Mode, OfferedAction, StatusCounts, TypeInfo } from "./records";

interface Props {
  filters: Filters;
  data: Listed;
  changed: () => void;
  notices: Notices;
}

export const Listing: React.FC<Props> = ({ filters, data, changed, notices }) => {
  const { wanted } = filters;
  const { recommendations: found, total } = data.page;
  const type = data.types.find((known) => known.id === wanted.type);
  const [ids, setIds] = React.useState<Set<number>>(new Set());
  const [everything, setEverything] = React.useState(false);
  const [accepting, setAccepting] = React.useState<OfferedAction>();
  const { doing, error, run } = useDoing();
  const selection = `${wanted.type} ${wanted.status} ${wanted.q} ${wanted.min}`;
  const clear = () => {
    setIds(new Set());
    setEverything(false);
  };
  React.useEffect(clear, [selection]);

  const chosen: Chosen = everything ? { wanted } : { ids: [...ids] };
  const choose = (some: number[], on: boolean) => {
    setEverything(false);
    setIds((before) => {
      const after = everything ? new Set(found.map((one) => one.id)) : new Set(before);
      for (const id of some)
        if (on) after.add(id);
        else after.delete(id);
      return after;
    });
  };
  const dismissAll = (mode: Mode) =>
    void run(async () => {
      const { changed: number, batch } = await dismiss(chosen, mode);
      notices.say({
        text: `${several(number, "recommendation")} dismissed ${mode === "forever" ? "for ever" : "until they change"}.`,
        undo: batch
          ? async () => `${several((await restoreBatch(batch)).changed, "recommendation")} open again.`
          : undefined,
      });
      clear();
      changed();
    });
  const focus = (by: 1 | -1) => {
    const links = [...document.querySelectorAll<HTMLAnchorElement>(".sense-finding-link")];
    const at = links.findIndex((link) => link === document.activeElement);
    links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))]?.focus();
  };
  useKeys({
    j: () => focus(1),
    k: () => focus(-1),
    x: () => document.activeElement?.closest(".sense-finding")?.querySelector("input")?.click(),
    u: notices.undo,
  });
  const here = found.length > 0 && found.every((one) => ids.has(one.id));
  return (
    <>
      {type ? <TypeHead key={type.id} type={type} changed={changed} /> : null}
      <FilterBar filters={filters} counts={sum(data.counts, wanted.type)} total={total} />
      {error ? <Failure error={error} /> : null}
      {found.length ? (
        <>
          <BulkBar
            chosen={everything ? total : ids.size}
            total={total}
            everything={everything}
            allHere={here}
            actions={type && type.id !== UNKNOWN_PERSON ? type.actions : []}
            pending={wanted.status === "pending"}
            doing={doing}
            chooseHere={(on) =>
              choose(
                found.map((one) => one.id),
                on,
              )
            }
            chooseAll={() => setEverything(true)}
            clear={clear}
            dismiss={dismissAll}
            accept={setAccepting}
          />
          <Rows
            filters={filters}
            found={found}
            types={data.types}
            chosen={everything ? new Set(found.map((one) => one.id)) : ids}
            choose={choose}
          />
          <Pages
            total={total}
            size={PAGE_SIZE}
            offset={(wanted.page - 1) * PAGE_SIZE}
            go={(offset) => {
              filters.set({ page: offset / PAGE_SIZE + 1 }, true);
              window.scrollTo({ top: 0 });
            }}
          />
          <KeyHelp
            keys={[
              ["J", "next"],
              ["K", "previous"],
              ["Enter", "open"],
              ["X", "choose"],
              ["U", "undo"],
            ]}
          />
        </>
      ) : (
        <Nothing filters={filters} type={type} total={total} />
      )}
      {accepting ? (
        <AcceptMany
          chosen={chosen}
          action={accepting}
          changed={changed}
          close={() => {
            setAccepting(undefined);
            clear();
            changed();
          }}
        />
      ) : null}
    </>
  );
};

const Nothing: React.FC<{ filters: Filters; type: TypeInfo | undefined; total: number }> = (props) => {
  const { wanted, set } = props.filters;
  if (props.total && wanted.page > 1) {
    return (
      <Empty title="This page is empty" icon={faInbox}>
        <Button onClick={() => set({ page: 1 })}>To the first page</Button>
      </Empty>
    );
  }
  if (wanted.q || wanted.min) {
    return (
      <Empty title="Nothing fits this filter" icon={faMagnifyingGlass}>
        <Button variant="secondary" onClick={() => set({ q: "", min: 0, page: 1 })}>
          Clear the filter
        </Button>
      </Empty>
    );
  }
  return (
    <Empty title={wanted.status === "pending" ? "Nothing waits for you" : "Nothing here"} icon={faInbox}>
      {props.type?.description ?? "What is found comes here. Findings are looked for by jobs under Operations."}
    </Empty>
  );
};

const TypeHead: React.FC<{ type: TypeInfo; changed: () => void }> = ({ type, changed }) => {
  const [looking, setLooking] = React.useState<Job>();
  const { doing, error, run } = useDoing();
  const last = type.last_run?.ended_at ?? type.watermark_at;
  return (
    <div className="sense-type-head">
      <div>
        <h4>{type.title}</h4>
        <p className="text-muted mb-0">
          {type.description} {last ? `Looked for ${ago(last)}.` : "Not looked for yet."}
        </p>
      </div>
      <Button
        size="sm"
        variant="secondary"
        disabled={doing}
        onClick={() => void run(async () => setLooking(await analyze(type.id, false)))}
      >
        <Icon icon={faMagnifyingGlass} /> Look now
      </Button>
      {error ? <Failure error={error} /> : null}
      {looking ? (
        <div className="sense-type-job">
          <JobProgress key={looking.id} first={looking} title="Looking" ended={changed} />
        </div>
      ) : null}
    </div>
  );
};

/** Counts by status of one type, or of all. */
function sum(counts: Record<string, StatusCounts>, type: string): StatusCounts {
  const all = Object.entries(counts).filter(([id]) => !type || id === type);
  const added = { pending: 0, resolved: 0, dismissed: 0, closed: 0 };
  for (const [, own] of all) for (const status of STATUSES) added[status] += own[status];
  return added;
}
