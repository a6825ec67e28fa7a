// What is done in Stash: the server does it, and knows how to undo it.
import { call, many, unwrap } from "./backend";
import type { Answer } from "./server";

export type Done = Answer<"action_perform">;

export const perform = (action: string, params: Record<string, unknown>): Promise<Done> =>
  call("action_perform", { body: { action, params } });

const MOST_AT_ONCE = 12;

/** Several actions, some in each start of Python. Throws the first failure after all were tried. */
export async function performAll(wanted: { action: string; params: Record<string, unknown> }[]): Promise<Done[]> {
  const done: Done[] = [];
  let failure: unknown;
  for (let start = 0; start < wanted.length; start += MOST_AT_ONCE) {
    const some = wanted.slice(start, start + MOST_AT_ONCE);
    for (const outcome of await many(some.map((body) => ({ mode: "action_perform" as const, body })))) {
      try {
        done.push(unwrap(outcome));
      } catch (error) {
        failure ??= error;
      }
    }
  }
  if (failure) throw failure;
  return done;
}

export const undo = (id: number): Promise<Answer<"action_undo">> => call("action_undo", { path: { id } });
