// Recommendations and their details as the server answers them (pipelines/analyzers documents each type).
import type { Box, Change } from "../types";

export type Status = "pending" | "resolved" | "dismissed" | "closed";
export const STATUSES: Status[] = ["pending", "resolved", "dismissed", "closed"];
export type Mode = "until_changed" | "forever";
export type Params = Record<string, unknown>;
export type Offered = Record<string, Params>;

export interface Recommendation {
  id: number;
  type: string;
  status: Status;
  target_type: string;
  target_id: string;
  finding: string;
  evidence: string;
  title: string;
  summary: string;
  /** 0 to 100 */
  confidence: number;
  details: Details;
  reason: string;
  dismissal: { mode: Mode; reason: string; at: string } | null;
  action_id: number | null;
  created_at: string;
  updated_at: string;
}

export interface RecommendationPage {
  recommendations: Recommendation[];
  total: number;
  next_cursor: string | null;
}

export interface OfferedAction {
  id: string;
  title: string;
  destructive: boolean;
}

export interface TypeInfo {
  id: string;
  title: string;
  description: string;
  target_type: string;
  actions: OfferedAction[];
  last_run?: { state?: string; started_at?: string | null; ended_at?: string | null; error?: string | null } | null;
  watermark_at?: string | null;
}

export type StatusCounts = Record<Status, number>;

export interface Details {
  actions?: Offered;
  reasons?: string[];
  [name: string]: unknown;
}

export interface Named {
  id: string;
  name: string;
}

export interface BoxLink {
  endpoint: string;
  stash_id: string;
}

export interface FileDetails {
  id: string;
  path: string;
  size_bytes: number;
  duration_s: number;
  width: number;
  height: number;
  video_codec: string;
  bit_rate: number;
  frame_rate: number;
  score?: number;
  reasons?: string[];
}

export interface SceneDetails {
  id: string;
  title: string;
  date: string;
  studio: Named | null;
  performers: Named[];
  tags: Named[];
  files: FileDetails[];
  stash_ids: BoxLink[];
  play_count: number;
  o_counter: number;
  organized: boolean;
  rating: number | null;
}

export interface Keeper {
  id: string;
  reasons: string[];
}

export interface Alignment {
  /** (time in b) - speed * (time in a) */
  offset_s: number;
  speed: number;
  mirrored: boolean;
  a: [number, number];
  b: [number, number];
}

export interface DuplicateScenesDetails extends Details {
  scenes: SceneDetails[];
  relation: string;
  keeper: Keeper;
  reasons: string[];
  signals: Record<string, unknown>;
  alignment: Alignment | null;
  group: string | null;
}

export interface SceneFilesDetails extends Details {
  scene: SceneDetails;
  files: FileDetails[];
  keeper_file_id: string;
  savings_bytes: number;
}

export interface PerformerDetails {
  id: string;
  name: string;
  disambiguation: string;
  aliases: string[];
  scene_count: number;
  image_count: number;
  gallery_count: number;
  stash_ids: BoxLink[];
  image_url_path: string;
  birthdate: string;
  country: string;
  gender?: string;
}

export interface DuplicatePerformersDetails extends Details {
  performers: PerformerDetails[];
  keeper: Keeper;
  reasons: string[];
  face_similarity: number | null;
}

export interface ImageDetails {
  id: string;
  title: string;
  path: string;
  width: number;
  height: number;
  size_bytes: number;
  galleries: Named[];
}

export interface DuplicateImagesDetails extends Details {
  images: ImageDetails[];
  keeper: Keeper;
  reasons: string[];
}

export interface BestFace {
  scene_id?: string;
  time_s: number | null;
  box: Box;
  crop_url?: string | null;
}

export interface Near {
  universal_id: string;
  name: string;
  distance: number;
  confidence?: number;
}

export interface SeenPerson {
  universal_id: string;
  name: string;
  performer_id: string | null;
  performer_name?: string | null;
  /** 0 to 1 */
  confidence: number;
  frames: number;
  share: number;
  ranges: [number, number][];
  best: BestFace | null;
  crop_url?: string | null;
  candidates: Near[];
}

export interface UnidentifiedSceneDetails extends Details {
  scene: SceneDetails;
  people: SeenPerson[];
  tagged_not_seen: Named[];
}

export interface UnknownPersonDetails extends Details {
  cluster: string | number;
  scenes: { id: string; title: string; ranges: [number, number][]; best: BestFace | null }[];
  faces: number;
  best: BestFace[];
  near: Near[];
}

export interface MissingLinkDetails extends Details {
  performer: PerformerDetails;
  endpoint: string;
  stash_id: string;
  universal_id: string;
  name: string;
  confidence: number;
  scenes: unknown;
}

export interface BulkChange extends Change {
  recommendation_id: number;
}

export interface BulkPreview {
  changes: BulkChange[];
  skipped: { recommendation_id: number; reason: string }[];
  /** About how many something will be done. */
  recommendations: number;
  destructive: boolean;
  undoable: boolean;
  not_undone: string[];
  digest: string;
}

export interface PlanPreview {
  action: string;
  params: Params;
  title: string;
  changes: Change[];
  destructive: boolean;
  undoable: boolean;
  not_undone: string[];
  digest: string;
}

/** One action in the log. */
export interface ActionEntry {
  action_id: number;
  action: string;
  state: "planned" | "performing" | "done" | "failed";
  title: string;
  destructive: boolean;
  undoable: boolean;
  undo_state: "undoing" | "undone" | "partly" | null;
  error_message: string | null;
  created_at: string;
  ended_at: string | null;
}

/** One action with what it changed, and how far its undo came. Reports are sentences. */
export interface ActionDetail extends ActionEntry {
  changes: Change[];
  not_undone: string[];
  undo_report: { restored: unknown[]; conflicts: string[]; lost: string[] } | null;
}
