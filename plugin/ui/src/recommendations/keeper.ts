// Which of several things stays: the owner may choose another one than what was suggested.
import type { Offered, Params } from "./records";

/** The parameters of every offered action with another one kept; `filesOf` names the files of what goes. */
export function withKeeper(
  offered: Offered,
  ids: string[],
  keeper: string,
  filesOf: (id: string) => string[] = () => [],
): Offered {
  const others = ids.filter((id) => id !== keeper);
  const changed = (params: Params): Params => {
    if ("destination_id" in params) return { ...params, destination_id: keeper, source_ids: others };
    if ("keep_id" in params) return { ...params, keep_id: keeper, delete_ids: others };
    if ("keep_file_id" in params) return { ...params, keep_file_id: keeper, delete_file_ids: others };
    if ("file_id" in params) return { ...params, file_id: keeper };
    if ("scene_id" in params && others.length === 1 && others[0] !== undefined && "delete_file" in params)
      return { ...params, scene_id: others[0], ...("file_ids" in params ? { file_ids: filesOf(others[0]) } : {}) };
    return params;
  };
  return Object.fromEntries(Object.entries(offered).map(([id, params]) => [id, changed(params)]));
}
