// The server's routes as types: what each mode of the plugin takes and answers, from serve_app/openapi.json.
// `python -m tests.plugin.node types` writes what is imported here; nobody edits it.
import type { Modes } from "./generated/modes";
import type { components, paths } from "./generated/server";

export type Schema<Name extends keyof components["schemas"]> = components["schemas"][Name];

export type ModeName = keyof Modes;
type Operation<M extends ModeName> =
  paths[Modes[M]["route"]] extends Record<Modes[M]["method"], infer Found> ? Found : never;
type Json<T> = T extends { content: { "application/json": infer Found } } ? Found : never;

/** What a mode answers when all is well. */
export type Answer<M extends ModeName> =
  Operation<M> extends { responses: infer Responses } ? Json<Responses[Extract<keyof Responses, 200 | 201>]> : never;

type Body<M extends ModeName> = Operation<M> extends { requestBody: infer Found } ? Json<Found> : never;
type Query<M extends ModeName> =
  Operation<M> extends { parameters: { query?: infer Found } } ? Exclude<Found, undefined> : never;
/** What is null or "" is not sent. */
type Sent<T> = { [Name in keyof T]: T[Name] | null | "" };

/** What belongs to a mode beside its name. */
export type Rest<M extends ModeName> = ([Modes[M]["path"]] extends [never]
  ? { path?: undefined }
  : { path: Record<Modes[M]["path"], string | number> }) &
  ([Body<M>] extends [never] ? { body?: undefined } : { body: Body<M> }) &
  ([Query<M>] extends [never]
    ? { query?: undefined }
    : Record<never, never> extends Query<M>
      ? { query?: Sent<Query<M>> }
      : { query: Sent<Query<M>> });

/** One call: a mode with what belongs to it. */
export type Call = { [M in ModeName]: { mode: M } & Rest<M> }[ModeName];
