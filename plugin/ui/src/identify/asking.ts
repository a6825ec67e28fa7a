// Who is in something: what is asked of the server and of Stash, and what the answers come to.
import { call, Failed } from "../backend";
import { findLocals, taggedOn } from "../locals";
import type { LocalMatch } from "../locals";
import type { FoundPerson, Identification } from "../types";

export type Entity = "scene" | "image" | "gallery" | "performer";

export interface Target {
  entity: Entity;
  id: string;
}

export interface Seen {
  answer: Identification;
  /** Performers of Stash by universal id, candidates included. */
  locals: Record<string, LocalMatch>;
  /** Ids of the performers that are tagged already. */
  tagged: Set<string>;
}

/** What a stored scan says; undefined when there is none. Galleries and performers have none of their own. */
export async function stored(target: Target): Promise<Seen | undefined> {
  if (target.entity !== "scene" && target.entity !== "image") return undefined;
  try {
    const answer = await call(`stored_${target.entity}`, { path: { id: target.id } });
    return await withStash(target, { ...answer, source: "stored", warnings: [] });
  } catch (error) {
    if (error instanceof Failed && error.code === "stash_not_found") return undefined;
    throw error;
  }
}

/** Has the server look; what it has looked at before it answers from its scans, unless `fresh`. */
export async function identify(target: Target, fresh: boolean): Promise<Seen> {
  const { id } = target;
  const asked = {
    scene: () => call("identify_scene", { body: { scene_id: id, fresh } }),
    image: () => call("identify_image", { body: { image_id: id, fresh } }),
    gallery: () => call("identify_gallery", { body: { gallery_id: id, fresh } }),
    performer: async () => call("identify_image", { body: await portrait(id) }),
  };
  try {
    return await withStash(target, await asked[target.entity]());
  } catch (error) {
    if (target.entity === "performer" && error instanceof Failed && error.code === "media_unsupported")
      throw faceless();
    throw error;
  }
}

/** Stash draws a silhouette where a performer has no picture. */
const faceless = () =>
  new Failed({ code: "faceless", message: "This performer has no picture.", hint: "", status: 0, retry_after_s: null });

/** A performer's picture, by its address as the server reaches Stash. */
async function portrait(id: string): Promise<{ url: string; crop_links: boolean }> {
  const stash = await call("stash");
  return { url: `${(stash.url ?? "").replace(/\/$/, "")}/performer/${id}/image`, crop_links: true };
}

async function withStash(target: Target, answer: Identification): Promise<Seen> {
  const wanted = [...answer.people, ...answer.unknown].flatMap((person) => identities(person));
  const [locals, tagged] = await Promise.all([
    findLocals(wanted),
    target.entity === "performer" ? new Set([target.id]) : taggedOn(target.entity, target.id),
  ]);
  return { answer, locals, tagged };
}

export interface Identity {
  universal_id: string;
  name: string;
  confidence: number;
}

/** Who somebody may be, most likely first. */
export function identities(person: FoundPerson): Identity[] {
  const named =
    person.universal_id && person.name
      ? [{ universal_id: person.universal_id, name: person.name, confidence: person.confidence ?? 0 }]
      : [];
  const others = person.candidates.filter((one) => one.universal_id !== person.universal_id);
  return [...named, ...others];
}
