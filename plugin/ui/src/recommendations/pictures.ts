// Pictures that Stash itself has of what recommendations are about: its paths are relative, because Stash may live below a prefix.
import type { Recommendation } from "./records";

const PATHS: Record<string, (id: string) => string> = {
  scene: (id) => `scene/${id}/screenshot`,
  performer: (id) => `performer/${id}/image`,
  image: (id) => `image/${id}/thumbnail`,
};

export const picture = (kind: "scene" | "performer" | "image", id: string): string =>
  PATHS[kind]?.(encodeURIComponent(id)) ?? "";

/** Faces that a recommendation is about, as paths of crops; none where it is about something else. */
export function faces(one: Recommendation): string[] {
  const { best, people } = one.details as { best?: unknown; people?: unknown };
  const found = Array.isArray(best) ? best : Array.isArray(people) ? people.map((person) => person?.best) : [];
  return (found as ({ crop_url?: string | null } | null | undefined)[])
    .flatMap((face) => (face?.crop_url ? [face.crop_url] : []))
    .slice(0, 2);
}

/** At most two pictures of what a recommendation is about. */
export function thumbnails(one: Recommendation): string[] {
  const path = PATHS[one.target_type];
  if (path)
    return one.target_id
      .split(":")
      .slice(0, 2)
      .map((id) => path(encodeURIComponent(id)));
  const scenes = one.details["scenes"];
  if (!Array.isArray(scenes)) return [];
  return (scenes as { id?: string }[]).slice(0, 2).flatMap((scene) => (scene.id ? [picture("scene", scene.id)] : []));
}
