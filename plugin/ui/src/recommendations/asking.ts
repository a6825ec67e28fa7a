// What the screens of recommendations ask of the server. A list is one call, and so is a step through it.
import { call, many, unwrap } from "../backend";
import type { Job } from "../types";
import { titled } from "../words";
import { filterOf, PAGE_SIZE } from "./filters";
import type { Wanted } from "./filters";
import type {
  ActionDetail,
  ActionEntry,
  BulkPreview,
  Mode,
  Params,
  PlanPreview,
  Recommendation,
  RecommendationPage,
  StatusCounts,
  TypeInfo,
} from "./records";

export interface Listed {
  page: RecommendationPage;
  counts: Record<string, StatusCounts>;
  types: TypeInfo[];
}

export async function list(wanted: Wanted): Promise<Listed> {
  const query = {
    type: wanted.type ? [wanted.type] : [],
    status: wanted.status === "all" ? [] : [wanted.status],
    q: wanted.q,
    min_confidence: wanted.min || null,
    sort: wanted.sort,
    limit: PAGE_SIZE,
    offset: (wanted.page - 1) * PAGE_SIZE,
  };
  const [page, counts, types] = await many([
    { mode: "recommendations", query },
    { mode: "recommendation_counts" },
    { mode: "recommendation_types" },
  ]);
  const counted = unwrap(counts).types;
  const known = unwrap(types).types;
  // What another version found is still there when its analyzer is not.
  const others = Object.keys(counted).filter((id) => !known.some((type) => type.id === id));
  return {
    page: unwrap(page),
    counts: counted,
    types: [...known, ...others.map((id) => ({ id, title: titled(id), description: "", actions: [] }))],
  };
}

export const one = (id: number): Promise<Recommendation> => call("recommendation", { path: { id } });

/** Those that were chosen one by one, or everything that the filter lets through. */
export type Chosen = { ids: number[] } | { wanted: Wanted };
const body = (chosen: Chosen) => ("ids" in chosen ? { ids: chosen.ids } : { filter: filterOf(chosen.wanted) });

export const dismiss = (chosen: Chosen, mode: Mode): Promise<{ changed: number; batch: string | null }> =>
  call("recommendations_dismiss", { body: { ...body(chosen), mode } });

export const restoreBatch = (batch: string): Promise<{ changed: number }> =>
  call("recommendations_restore", { body: { batch } });

export const restore = (id: number): Promise<Recommendation> => call("recommendation_restore", { path: { id } });

export const previewAction = (action: string, params: Params): Promise<PlanPreview> =>
  call("action_preview", { body: { action, params } });

export interface Accepted {
  action_id: number;
  undoable: boolean;
}

export const accept = (
  recommendation: Recommendation,
  action: string,
  params: Params,
  digest?: string,
): Promise<Accepted> =>
  call("recommendation_accept", {
    path: { id: recommendation.id },
    body: { action, params, seen: recommendation.evidence, ...(digest ? { digest } : {}) },
  });

export const previewBulk = (chosen: Chosen, action: string): Promise<BulkPreview> =>
  call("recommendations_preview", { body: { ...body(chosen), action } });

/** Everything that the preview of this digest showed. */
export const acceptBulk = (action: string, digest: string): Promise<Job> =>
  call("queue_submit", { body: { type: "accept_recommendations", params: { action, digest } } });

export const analyze = (type: string, full: boolean): Promise<Job> =>
  call("queue_submit", { body: { type: `analyze_${type}`, params: { full } } });

/** Who was named in scenes of their own can be recognised from them: their faces are enrolled. */
export const learnFaces = (): Promise<Job> => call("queue_submit", { body: { type: "enroll_local", params: {} } });

interface Rejected {
  kind: "scene";
  content_id: string;
  universal_id: string;
}

/** Somebody is not in a scene: never suggested there again, and the recommendation that did is closed. */
export const reject = (one: Rejected): Promise<unknown> => call("reject", { body: one });
export const unreject = (one: Rejected): Promise<unknown> => call("unreject", { query: one });

export const job = (id: number): Promise<Job> => call("queue_job", { path: { id } });
export const stop = (id: number): Promise<unknown> => call("queue_stop", { path: { id } });

export const history = (cursor: number | null): Promise<{ actions: ActionEntry[]; next_cursor: number | null }> =>
  call("actions", { query: { limit: 50, cursor } });

export const action = (id: number): Promise<ActionDetail> => call("action", { path: { id } });
export const undo = (id: number): Promise<ActionDetail> => call("action_undo", { path: { id } });
