// Every call of the Stash Sense server: through Stash, which runs the plugin's Python, because the page may not.
import type { Answer, Call, ModeName, Rest } from "./server";
import { graphql } from "./stash";

export const PLUGIN_ID = "stash-sense";

export interface FailureRecord {
  code: string;
  message: string;
  hint: string;
  status: number;
  retry_after_s: number | null;
}

/** Why a call has no answer, in words for the owner. */
export class Failed extends Error {
  readonly code: string;
  readonly hint: string;
  readonly status: number;
  readonly retryAfterS: number | null;

  constructor(record: FailureRecord) {
    super(record.message);
    this.name = "Failed";
    this.code = record.code;
    this.hint = record.hint;
    this.status = record.status;
    this.retryAfterS = record.retry_after_s;
  }
}

export type Outcome<T> = { output: T; failed?: undefined } | { output?: undefined; failed: FailureRecord };

const RUN = "mutation StashSense($id: ID!, $args: Map) { runPluginOperation(plugin_id: $id, args: $args) }";

async function run<T>(args: object): Promise<T> {
  let said: { runPluginOperation: Outcome<T> | null };
  try {
    said = await graphql(RUN, { id: PLUGIN_ID, args });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Failed({
      code: "stash",
      message: `Stash could not ask: ${message}`,
      hint: "",
      status: 0,
      retry_after_s: null,
    });
  }
  return unwrap(said.runPluginOperation);
}

/** Returns the output, throws the failure. */
export function unwrap<T>(outcome: Outcome<T> | null | undefined): T {
  if (outcome && typeof outcome === "object" && outcome.failed) throw new Failed(outcome.failed);
  if (!outcome || typeof outcome !== "object" || !("output" in outcome)) {
    const message = "The plugin's Python gave no answer.";
    const hint = "Does Stash know where Python is? See Settings, System, Python executable path, and Stash's log.";
    throw new Failed({ code: "no_python", message, hint, status: 0, retry_after_s: null });
  }
  return outcome.output as T;
}

/** One call; throws Failed. What belongs to the mode and what it answers are the server's own types. */
export const call = <M extends ModeName>(
  mode: M,
  ...rest: Record<never, never> extends Rest<M> ? [rest?: Rest<M>] : [rest: Rest<M>]
): Promise<Answer<M>> => run({ mode, ...rest[0] });

type Outcomes<Calls extends readonly Call[]> = { -readonly [N in keyof Calls]: Outcome<Answer<Calls[N]["mode"]>> };

/** Several calls in one start of Python; each has its own outcome. Throws Failed when none could be made. */
export const many = <const Calls extends readonly Call[]>(calls: Calls): Promise<Outcomes<Calls>> =>
  run({ mode: "many", calls });

/** A piece of an export, base64, and how long the whole is. */
export const exportPiece = (id: string, start: number): Promise<{ data: string; total_bytes: number }> =>
  run({ mode: "export_piece", id, start });

/** What the pairing would hand over. */
export const pairingOffer = (): Promise<{ stash_url: string; has_key: boolean }> => run({ mode: "pairing_offer" });

export const pair = (stashUrl: string): Promise<Answer<"stash">> => run({ mode: "pair", stash_url: stashUrl });

const kept = new Map<string, Promise<string | null>>();
const MOST_KEPT = 2000;
const MOST_AT_ONCE = 100;
let waiting: { path: string; done: (url: string | null) => void }[] = [];

/** Returns a face crop as a data: URL, null when it is gone. What is asked for at about the same time is one call. */
export function crop(path: string): Promise<string | null> {
  const known = kept.get(path);
  if (known) return known;
  if (kept.size > MOST_KEPT) kept.clear();
  const promise = new Promise<string | null>((done) => {
    if (!waiting.length) window.setTimeout(fetchCrops, 20);
    waiting.push({ path, done });
  });
  kept.set(path, promise);
  return promise;
}

function fetchCrops(): void {
  const asked = waiting;
  waiting = [];
  for (let start = 0; start < asked.length; start += MOST_AT_ONCE) {
    const some = asked.slice(start, start + MOST_AT_ONCE);
    run<Record<string, string | null>>({ mode: "crops", paths: some.map((one) => one.path) })
      .catch((): Record<string, string | null> => {
        some.forEach((one) => kept.delete(one.path));
        return {};
      })
      .then((found) => some.forEach((one) => one.done(found[one.path] ?? null)));
  }
}
