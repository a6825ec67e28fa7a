// Recommendations and their details by the names that the screens use (pipelines/analyzers documents each type).
import type { Schema } from "../server";

export type Mode = Schema<"DismissRequest">["mode"];
export type Params = Record<string, unknown>;
export type Offered = Record<string, Params>;

/** What the details of every type have; the type decides what else there is. */
export interface Details {
  actions?: Offered;
  reasons?: string[];
  [name: string]: unknown;
}

export type Recommendation = Omit<Schema<"RecommendationAnswer">, "details"> & { details: Details };
export type Status = Recommendation["status"];
export const STATUSES: Status[] = ["pending", "resolved", "dismissed", "closed"];
export type RecommendationPage = Omit<Schema<"RecommendationList">, "recommendations"> & {
  recommendations: Recommendation[];
};
export type OfferedAction = Schema<"OfferedActionAnswer">;
/** A type of recommendations; of one that this server no longer looks for, only the name is known. */
export type TypeInfo = Pick<Schema<"RecommendationType">, "id" | "title" | "description" | "actions"> &
  Partial<Schema<"RecommendationType">>;
export type StatusCounts = Schema<"StatusCounts">;

export type Named = Schema<"details.Named">;
export type FileDetails = Schema<"details.SceneFile"> & Partial<Schema<"details.ScoredFile">>;
export type SceneDetails = Schema<"details.SceneSummary">;
export type PerformerDetails = Schema<"details.PerformerSummary">;
export type ImageDetails = Schema<"details.ImageSummary">;
export type Alignment = Schema<"details.AlignmentDetails">;
export type BestFace = Schema<"details.BestFace">;
export type Near = Schema<"details.Near">;

/** Two scenes side by side; without a keeper they are no duplicates. */
export type ScenePairDetails = Schema<"details.SameSetDetails"> &
  Partial<Pick<Schema<"details.DuplicateScenesDetails">, "keeper" | "alignment" | "group">>;
export type SceneFilesDetails = Schema<"details.DuplicateSceneFilesDetails">;
export type DuplicatePerformersDetails = Schema<"details.DuplicatePerformersDetails">;
export type DuplicateImagesDetails = Schema<"details.DuplicateImagesDetails">;
export type UnidentifiedSceneDetails = Schema<"details.UnidentifiedSceneDetails">;
export type UnknownPersonDetails = Schema<"details.UnknownPersonDetails">;
export type SeenPerson = UnidentifiedSceneDetails["people"][number];
export type MissingLinkDetails = Schema<"details.MissingLinkDetails">;

export type BulkPreview = Schema<"ManyPreview">;
export type BulkChange = BulkPreview["changes"][number];
export type PlanPreview = Schema<"PreviewAnswer">;
/** One action in the log. */
export type ActionEntry = Schema<"ActionSummary">;
/** One action with what it changed, and how far its undo came. */
export type ActionDetail = Schema<"ActionAnswer">;
