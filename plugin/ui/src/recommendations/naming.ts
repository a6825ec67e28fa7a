// An unknown person gets a name: where it was seen, and what an action is given to tag all of it at once.
import type { Offered, Params, UnknownPersonDetails } from "./records";

export const UNKNOWN_PERSON = "unknown_person";

/** Something of Stash in which the person is seen. */
export interface SeenIn {
  entity: string;
  entity_id: string;
  title: string;
  crop_url?: string | null | undefined;
}

/** Everything that one naming may tag, as the finding offers it. */
export function seenIn(details: UnknownPersonDetails): SeenIn[] {
  const offered = details.actions as Offered;
  const places = (offered["tag_performers"]?.["places"] ?? offered["create_performer"]?.["tag"] ?? []) as SeenIn[];
  const scenes = new Map(details.scenes.map((scene) => [scene.id, scene]));
  return places.map(({ entity, entity_id }) => {
    const scene = entity === "scene" ? scenes.get(entity_id) : undefined;
    return { entity, entity_id, title: scene?.title || `${entity} ${entity_id}`, crop_url: scene?.best?.crop_url };
  });
}

const places = (chosen: SeenIn[]) => chosen.map(({ entity, entity_id }) => ({ entity, entity_id }));

/** A performer of Stash is the person. */
export const asPerformer = (id: string, chosen: SeenIn[]): Params => ({ places: places(chosen), performer_ids: [id] });

/** The person becomes a new performer; what is empty is left out. */
export const asNew = (facts: Record<string, string>, chosen: SeenIn[]): Params => ({
  ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value.trim())),
  tag: places(chosen),
});
