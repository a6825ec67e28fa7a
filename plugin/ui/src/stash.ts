// Stash's side of the page: window.PluginApi, typed as far as it is used, and GraphQL of the same origin.
import type * as ReactNamespace from "react";
import { gql } from "@apollo/client";
import type { ApolloClient } from "@apollo/client";

interface PluginApi {
  React: typeof ReactNamespace;
  utils: { StashService: { getClient(): ApolloClient<unknown> } };
  hooks: { useToast?: () => Toast };
  register: { route(path: string, component: ReactNamespace.ComponentType): void };
  patch: {
    before(name: string, patch: (props: PatchProps) => [PatchProps]): void;
  };
  Event: EventTarget;
}

export interface PatchProps {
  children?: ReactNamespace.ReactNode;
  [name: string]: unknown;
}

export interface Toast {
  success(text: string): void;
  error(error: unknown): void;
}

declare global {
  interface Window {
    PluginApi: PluginApi;
  }
}

export const api = (): PluginApi => window.PluginApi;

/** Asks Stash; nothing is cached here, so that what others change is seen. */
export async function graphql<T>(query: string, variables: Record<string, unknown> = {}): Promise<T> {
  const client = api().utils.StashService.getClient();
  const document = gql(query);
  const write = query.trimStart().startsWith("mutation");
  const answer = write
    ? await client.mutate<T>({ mutation: document, variables, fetchPolicy: "no-cache" })
    : await client.query<T>({ query: document, variables, fetchPolicy: "no-cache" });
  return answer.data as T;
}

/** Makes Stash's own page show what has been changed behind its back. */
export async function refreshStash(typename: "Scene" | "Image" | "Gallery" | "Performer", id: string): Promise<void> {
  const client = api().utils.StashService.getClient();
  client.cache.evict({ id: `${typename}:${id}` });
  client.cache.gc();
  await client.reFetchObservableQueries();
}
