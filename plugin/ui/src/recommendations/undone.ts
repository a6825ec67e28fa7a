import type { ActionDetail } from "./records";

/** One or more sentences on what an undo brought back, and what it could not. */
export function undone(entry: ActionDetail): string {
  const missing = [...(entry.undo_report?.conflicts ?? []), ...(entry.undo_report?.lost ?? [])];
  if (!missing.length) return `Undone: ${entry.title}`;
  return `Undone as far as possible: ${entry.title} ${missing.join(" ")}`;
}
