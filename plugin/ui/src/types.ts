// The server's records by the names that the screens use.
import type { Schema } from "./server";

export type Health = Schema<"Health">;
export type SystemInfo = Schema<"SystemAnswer">;
export type DatabaseInfo = Schema<"DatabaseInfo">;
export type Version = Schema<"VersionAnswer">;
export type VersionList = Schema<"VersionList">;
export type Update = Schema<"UpdateAnswer">;
export type StashInfo = Schema<"StashAnswer">;
export type Job = Schema<"JobAnswer">;
export type JobState = Job["state"];
export type QueueStatus = Schema<"QueueStatus">;
export type JobType = Schema<"JobTypeAnswer">;
export type Schedule = Schema<"ScheduleAnswer">;
export type LibraryStatus = Schema<"LibraryStatus">;
export type Box = Schema<"Box">;
export type Person = Schema<"Person">;
export type PeoplePage = Schema<"PeoplePage">;
export type PersonDetail = Schema<"PersonAnswer">;
export type Exclusion = Schema<"ExclusionAnswer">;
export type Setting = Schema<"SettingAnswer">;
export type ModelFile = Schema<"ModelFileInfo">;
export type Change = Schema<"ChangeAnswer">;

/** Somebody who was seen: what an identification and a stored scan have in common. The unknown have no name. */
export interface FoundPerson {
  universal_id?: string;
  name?: string;
  confidence?: number;
  faces: number;
  frames: number;
  ranges: [number, number][];
  best: { box: Box; time_s: number | null; crop_url?: string | null } | null;
  candidates: { universal_id: string; name: string; confidence: number; distance: number }[];
  image_ids?: string[];
}

/** Who is in something, from an identification or from a stored scan. */
export interface Identification {
  people: FoundPerson[];
  unknown: FoundPerson[];
  faces: number;
  frames: number;
  source?: Schema<"Identification">["source"];
  scanned_at?: string | null;
  duration_s?: number | null;
  warnings: string[];
}
