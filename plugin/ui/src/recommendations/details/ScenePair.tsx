// Two scenes side by side: what differs, what was seen; of the same footage also how they lie on each other, which one to
// keep and why.
import React from "react";
import { bytes, clock, percent, plain } from "../../words";
import { withKeeper } from "../keeper";
import type { SceneDetails, ScenePairDetails } from "../records";
import { AlignedTimelines } from "./Alignment";
import { Compare } from "./Compare";
import type { Field } from "./Compare";
import { Cover } from "./Cover";
import { basename, folder, Keep, Names, rate, Reasons, resolution, SceneLink } from "./facts";
import type { DetailProps } from "./facts";

const RELATIONS: Record<string, string> = {
  copy: "The same from start to end",
  reencode: "The same, encoded anew",
  trim: "One lacks a part of the start or the end",
  clip: "One is a part of the other",
  other_intro: "The same but for an opening or an ending",
  same_stash_id: "Both are linked to the same entry of a stash-box",
  unproven: "A hint that the pictures do not prove",
  same_set: "Another take of the same set: not a duplicate",
};

const ids = (items: { id: string }[]): string[] => items.map((item) => item.id).sort();
const letter = (place: number): string => String.fromCharCode(65 + place);
const file = (scene: SceneDetails) => scene.files[0];

export const FIELDS: Field<SceneDetails>[] = [
  { name: "Title", show: (one) => one.title },
  { name: "Date", show: (one) => one.date },
  {
    name: "Studio",
    show: (one) => (one.studio ? <Names items={[one.studio]} kind="studios" /> : ""),
    key: (one) => one.studio?.id,
  },
  {
    name: "Performers",
    show: (one) => (one.performers.length ? <Names items={one.performers} kind="performers" /> : ""),
    key: (one) => ids(one.performers),
  },
  {
    name: "Tags",
    show: (one) => (one.tags.length ? <Names items={one.tags} kind="tags" /> : ""),
    key: (one) => ids(one.tags),
  },
  {
    name: "Stash-boxes",
    show: (one) => one.stash_ids.map((link) => new URL(link.endpoint).host).join(", "),
    key: (one) => one.stash_ids.map((link) => `${link.endpoint} ${link.stash_id}`).sort(),
  },
  {
    name: "Resolution",
    show: (one) => resolution(file(one)),
    rank: (one) => (file(one)?.width ?? 0) * (file(one)?.height ?? 0),
  },
  { name: "Codec", show: (one) => file(one)?.video_codec },
  { name: "Bit rate", show: (one) => rate(file(one)?.bit_rate ?? 0), rank: (one) => file(one)?.bit_rate ?? 0 },
  { name: "Frame rate", show: (one) => (file(one)?.frame_rate ? `${file(one)?.frame_rate.toFixed(2)}/s` : "") },
  {
    name: "Duration",
    show: (one) => clock(file(one)?.duration_s ?? 0),
    rank: (one) => Math.round(file(one)?.duration_s ?? 0),
  },
  { name: "Size", show: (one) => bytes(file(one)?.size_bytes ?? 0), key: (one) => file(one)?.size_bytes },
  { name: "Files", show: (one) => one.files.length, key: (one) => one.files.length },
  {
    name: "Folder",
    show: (one) => <span className="sense-break">{folder(file(one)?.path ?? "")}</span>,
    key: (one) => folder(file(one)?.path ?? ""),
  },
  {
    name: "File",
    show: (one) => <span className="sense-break">{basename(file(one)?.path ?? "")}</span>,
    key: (one) => basename(file(one)?.path ?? ""),
  },
  { name: "Played", show: (one) => (one.play_count ? `${one.play_count} ×` : ""), key: (one) => one.play_count },
  { name: "O-counter", show: (one) => one.o_counter || "", key: (one) => one.o_counter },
  { name: "Rating", show: (one) => (one.rating === null ? "" : `${one.rating} of 100`), key: (one) => one.rating },
  { name: "Organized", show: (one) => (one.organized ? "yes" : "no"), key: (one) => one.organized },
];

export const ScenePair: React.FC<DetailProps<ScenePairDetails>> = ({ details, offered, offer }) => {
  const filesOf = (id: string) =>
    details.scenes.filter((scene) => scene.id === id).flatMap((scene) => scene.files.map((one) => one.id));
  const sceneIds = details.scenes.map((scene) => scene.id);
  const { keeper } = details;
  const kept = keeper ? String(offered["merge_scenes"]?.["destination_id"] ?? keeper.id) : undefined;
  return (
    <>
      <p className="lead sense-relation">{RELATIONS[details.relation] ?? plain(details.relation)}</p>
      <div className="sense-pair">
        {details.scenes.map((scene, number) => {
          const title = scene.title || basename(file(scene)?.path ?? "") || `Scene ${scene.id}`;
          return (
            <div key={scene.id} className={`sense-half ${kept === scene.id ? "sense-half-kept" : ""}`}>
              <Cover id={scene.id} title={title} durationS={file(scene)?.duration_s ?? 0} />
              <div className="sense-half-head">
                <strong>{letter(number)}</strong> <SceneLink id={scene.id} title={title} />
              </div>
              {keeper ? (
                <Keep
                  kept={kept === scene.id}
                  suggested={keeper.id === scene.id}
                  name={title}
                  keep={() => offer(withKeeper(offered, sceneIds, scene.id, filesOf))}
                />
              ) : null}
            </div>
          );
        })}
      </div>
      <div className="sense-columns">
        <Reasons title={keeper ? "Why these are duplicates" : "What was seen"} reasons={details.reasons} />
        {keeper ? (
          <Reasons
            title={`Why ${letter(Math.max(0, sceneIds.indexOf(keeper.id)))} should stay`}
            reasons={keeper.reasons}
          />
        ) : null}
        <Signals signals={details.signals} />
      </div>
      <AlignedTimelines scenes={details.scenes} alignment={details.alignment ?? null} />
      <section className="sense-block">
        <h4>What differs</h4>
        <Compare
          items={details.scenes}
          idOf={(scene) => scene.id}
          titles={(scene) => `${letter(sceneIds.indexOf(scene.id))}, scene ${scene.id}`}
          fields={FIELDS}
          label="Fields of both scenes"
        />
      </section>
    </>
  );
};

const SIGNALS: Record<string, [string, (value: number) => string]> = {
  phash_distance: ["Perceptual hashes of Stash", (value) => `${value} of 64 bits differ`],
  frame_votes: ["Frames that look alike", String],
  pdq_distance: ["Pictures, frame by frame", (value) => `${value.toFixed(0)} of 256 bits differ`],
  motion: ["Motion goes alike", (value) => percent(Math.max(0, value))],
  faces_jaccard: ["The same faces", percent],
};

const Signals: React.FC<{ signals: Record<string, unknown> | undefined }> = ({ signals = {} }) => {
  const known = Object.entries(SIGNALS).flatMap(([id, [name, words]]) => {
    const value = signals[id];
    return typeof value === "number" ? [[name, words(value)] as const] : [];
  });
  const same = Array.isArray(signals["metadata"]) ? signals["metadata"].map(String) : [];
  if (signals["stash_id"] === true) same.unshift("entry of a stash-box");
  if (!known.length && !same.length) return null;
  return (
    <section className="sense-block">
      <h4>Evidence</h4>
      <dl className="sense-facts">
        {known.map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </React.Fragment>
        ))}
        {same.length ? (
          <>
            <dt>The same</dt>
            <dd>{same.join(", ")}</dd>
          </>
        ) : null}
      </dl>
    </section>
  );
};
