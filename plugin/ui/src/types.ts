// What the server's routes answer, as far as the screens read it (serve_app/openapi.json).

export interface Health {
  status: string;
  version: string;
}

export interface SystemInfo {
  version: string;
  uptime_s: number;
  hardware: {
    cpu_cores: number;
    cpu_threads: number;
    usable_cpus: number;
    load_1_min: number;
    memory_total_mb: number;
    memory_available_mb: number;
    storage_free_mb: number;
    gpus: string[];
  };
  execution_providers: string[];
  ray: { nodes: number; cpus: number; cpus_free: number; gpus: number; gpus_free: number; accelerators: string[] };
}

export interface Source {
  id: string;
  kind: string;
  label: string;
  release: string | null;
  updated: string;
  performers: number;
  faces: number;
}

export interface DatabaseInfo {
  version: string;
  created: string;
  performer_count: number;
  face_count: number;
  pack: string;
  size_bytes: number;
  sources: Source[];
  left_out: Record<string, number>;
  pinned: boolean;
}

export interface Version {
  version: string;
  created: string | null;
  pack: string;
  performers: number;
  faces: number;
  size_bytes: number;
  sources: string[];
  problem: string;
}

export interface VersionList {
  current: string | null;
  serving: string | null;
  versions: Version[];
}

export interface Update {
  source: string;
  url: string;
  installed: string | null;
  newest: string | null;
  available: boolean;
  delta: boolean;
  download_bytes: number | null;
  created: string | null;
  notes: string;
  error: { message: string; hint: string } | null;
}

export interface StashInfo {
  url: string | null;
  answers: boolean;
  problem: { error: string; message: string; hint: string } | null;
  version: string;
  scenes: number;
  images: number;
  galleries: number;
  performers: number;
  stash_boxes: { endpoint: string; name: string }[];
  can_pair: boolean;
  why_not: string;
}

export type JobState = "queued" | "running" | "stopping" | "done" | "failed" | "stopped" | "cancelled";

export interface Job {
  id: number;
  type: string;
  state: JobState;
  params: Record<string, unknown>;
  triggered_by: string;
  attempts: number;
  done: number;
  total: number | null;
  counts: Record<string, number>;
  rate_per_s: number | null;
  eta_s: number | null;
  waiting_for: string;
  result: Record<string, unknown> | null;
  error_message: string | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
}

export interface QueueStatus {
  supervising: boolean;
  queued: number;
  running: number;
  stopping: number;
  jobs: Job[];
}

export interface JobType {
  id: string;
  title: string;
  description: string;
  schedulable: boolean;
}

export interface Schedule {
  type: string;
  enabled: boolean;
  interval_hours: number;
  next_run_at: string | null;
  last_run_at: string | null;
  intervals: { hours: number; label: string }[];
}

export interface LibraryStatus {
  scans: Record<string, unknown>;
  matches: Record<string, unknown>;
  jobs: Job[];
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Candidate {
  universal_id: string;
  name: string;
  confidence: number;
  distance: number;
  already_tagged?: boolean;
  image_url?: string | null;
}

export interface FoundPerson {
  universal_id?: string;
  name?: string;
  confidence?: number;
  already_tagged?: boolean;
  faces: number;
  frames: number;
  ranges: [number, number][];
  best: { box: Box; time_s: number | null; crop_url?: string | null; image_id?: string | null } | null;
  candidates: Candidate[];
  image_ids?: string[];
}

export interface Identification {
  kind: "image" | "gallery" | "video";
  people: FoundPerson[];
  unknown: FoundPerson[];
  faces: number;
  frames: number;
  source: "fresh" | "stored";
  scanned_at?: string | null;
  duration_s?: number | null;
  content?: { kind: string; id: string; title: string; tagged: string[]; images?: number | null } | null;
  warnings: string[];
  errors?: { message: string; image_id: string | null }[];
}

export interface Person {
  universal_id: string;
  name: string;
  ids: string[];
  country: string | null;
  image_url: string | null;
  faces: number;
  sources: string[];
  excluded: boolean;
}

export interface PeoplePage {
  version: string;
  total: number;
  people: Person[];
}

export interface PersonDetail extends Person {
  aliases: string[];
  disambiguation: string | null;
  gender: string | null;
  birth_date: string | null;
  pictures: { origin: string; source: string; quality: number | null }[];
}

export interface Exclusion {
  universal_id: string;
  ids: string[];
  name: string;
  reason: string;
  created: string;
}

export interface Setting {
  key: string;
  category: string;
  description: string;
  type: "integer" | "number" | "string" | "list";
  optional: boolean;
  minimum: number | null;
  maximum: number | null;
  above: number | null;
  choices: string[];
  default: unknown;
  value: unknown;
  active: unknown;
  is_set: boolean;
  source: string;
  applies: "now" | "restart";
  restart_needed: boolean;
  fixed: boolean;
  secret: boolean;
  ignored_override: string | null;
  variable: string;
}

export interface ModelFile {
  pack: string;
  file: string;
  size_bytes: number | null;
  expected_size_bytes: number;
  state: "installed" | "missing" | "corrupted";
  licence_accepted: boolean;
}

export interface Change {
  entity: string;
  entity_id: string;
  field?: string;
  title?: string;
  before: unknown;
  after: unknown;
  destructive: boolean;
}
