// Performers of Stash: whom a found person may be, and searching for one.
import { call } from "./backend";
import { graphql } from "./stash";

export interface Local {
  id: string;
  name: string;
  disambiguation: string | null;
  image_path: string | null;
  scene_count: number;
}

/** How a performer of Stash was found: linked to the same entry of a stash-box, or only called the same. */
export interface LocalMatch extends Local {
  by: "link" | "name";
}

const FIELDS = "id name disambiguation image_path scene_count";
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

interface Wanted {
  universal_id: string;
  name: string;
}

/** "stashdb.org:uuid" -> ["stashdb.org", "uuid"]. */
export function parts(universalId: string): [string, string] {
  const colon = universalId.lastIndexOf(":");
  return [universalId.slice(0, colon), universalId.slice(colon + 1)];
}

/** Whether an id is one of a stash-box. */
export const isBoxId = (universalId: string): boolean => UUID.test(parts(universalId)[1]);

export const shownName = (name: string): string => name.replace(/_/g, " ");

/** Returns for each universal id the performer of Stash that it is, if there is one: by link, else by a name that one has. */
export async function findLocals(wanted: Wanted[]): Promise<Record<string, LocalMatch>> {
  const people = [...new Map(wanted.map((one) => [one.universal_id, one])).values()].slice(0, 60);
  if (!people.length) return {};
  const variables: Record<string, string> = {};
  const fields: string[] = [];
  const head: string[] = [];
  people.forEach((one, place) => {
    const [domain, id] = parts(one.universal_id);
    variables[`n${place}`] = shownName(one.name);
    head.push(`$n${place}: String!`);
    const name = `performer_filter: { name: { value: $n${place}, modifier: EQUALS } }`;
    fields.push(`n${place}: findPerformers(${name}, filter: { per_page: 2 }) { performers { ${FIELDS} } }`);
    if (domain === "stash") {
      variables[`s${place}`] = id;
      head.push(`$s${place}: ID!`);
      fields.push(`s${place}: findPerformer(id: $s${place}) { ${FIELDS} }`);
    } else if (isBoxId(one.universal_id)) {
      variables[`s${place}`] = id;
      head.push(`$s${place}: String`);
      const link = `performer_filter: { stash_id_endpoint: { stash_id: $s${place}, modifier: EQUALS } }`;
      fields.push(`s${place}: findPerformers(${link}, filter: { per_page: 2 }) { performers { ${FIELDS} } }`);
    }
  });
  type Answer = Record<string, Local | { performers: Local[] } | null>;
  const answer = await graphql<Answer>(
    `query StashSenseLocals(${head.join(", ")}) { ${fields.join("\n")} }`,
    variables,
  );
  const found: Record<string, LocalMatch> = {};
  people.forEach((one, place) => {
    const linked = first(answer[`s${place}`]);
    const named = answer[`n${place}`];
    const namesakes = named && "performers" in named ? named.performers : [];
    if (linked) found[one.universal_id] = { ...linked, by: "link" };
    else if (namesakes.length === 1 && namesakes[0]) found[one.universal_id] = { ...namesakes[0], by: "name" };
  });
  return found;
}

function first(answer: Local | { performers: Local[] } | null | undefined): Local | undefined {
  if (!answer) return undefined;
  return "performers" in answer ? answer.performers[0] : answer;
}

export async function searchLocals(text: string): Promise<Local[]> {
  const query = `query StashSenseSearch($q: String!) {
    findPerformers(filter: { q: $q, per_page: 12, sort: "scenes_count", direction: DESC }) { performers { ${FIELDS} } }
  }`;
  return (await graphql<{ findPerformers: { performers: Local[] } }>(query, { q: text })).findPerformers.performers;
}

/** Ids of the performers that are tagged on a scene, image or gallery. */
export async function taggedOn(entity: "scene" | "image" | "gallery", id: string): Promise<Set<string>> {
  const field = { scene: "findScene", image: "findImage", gallery: "findGallery" }[entity];
  const answer = await graphql<Record<string, { performers: { id: string }[] } | null>>(
    `query StashSenseTagged($id: ID!) { ${field}(id: $id) { id performers { id } } }`,
    { id },
  );
  return new Set(answer[field]?.performers.map((one) => one.id));
}

/** Endpoints of the stash-boxes that are used, by host. */
export async function boxEndpoints(): Promise<Record<string, string>> {
  const { stash_boxes: boxes } = await call("stash");
  return Object.fromEntries(
    boxes.filter((box) => box.enabled).map(({ endpoint }) => [new URL(endpoint).host, endpoint]),
  );
}
