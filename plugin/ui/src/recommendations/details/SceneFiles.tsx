// A scene with several files: each with what speaks for it, and which one stays.
import React from "react";
import { bytes, clock } from "../../words";
import { withKeeper } from "../keeper";
import type { FileDetails, SceneFilesDetails } from "../records";
import { Compare } from "./Compare";
import type { Field } from "./Compare";
import { Cover } from "./Cover";
import { basename, folder, Keep, rate, Reasons, resolution, SceneLink } from "./facts";
import type { DetailProps } from "./facts";

const FIELDS: Field<FileDetails>[] = [
  { name: "Score", show: (one) => Math.round(one.score ?? 0), rank: (one) => one.score ?? 0 },
  { name: "Resolution", show: resolution, rank: (one) => one.width * one.height },
  { name: "Codec", show: (one) => one.video_codec },
  { name: "Bit rate", show: (one) => rate(one.bit_rate), rank: (one) => one.bit_rate },
  { name: "Frame rate", show: (one) => (one.frame_rate ? `${one.frame_rate.toFixed(2)}/s` : "") },
  { name: "Duration", show: (one) => clock(one.duration_s), rank: (one) => Math.round(one.duration_s) },
  { name: "Size", show: (one) => bytes(one.size_bytes), key: (one) => one.size_bytes },
  {
    name: "Folder",
    show: (one) => <span className="sense-break">{folder(one.path)}</span>,
    key: (one) => folder(one.path),
  },
  { name: "Speaks for it", show: (one) => one.reasons?.join(", "), key: (one) => one.reasons },
];

export const SceneFiles: React.FC<DetailProps<SceneFilesDetails>> = ({ details, offered, offer }) => {
  const { scene, files } = details;
  const kept = String(offered["delete_scene_files"]?.["keep_file_id"] ?? details.keeper_file_id);
  const others = files.filter((file) => file.id !== kept);
  const freed = others.reduce((sum, file) => sum + file.size_bytes, 0);
  return (
    <>
      <div className="sense-beside">
        <Cover id={scene.id} title={scene.title} durationS={scene.files[0]?.duration_s ?? 0} />
        <div>
          <p className="lead">
            <SceneLink id={scene.id} title={scene.title} />: {files.length} files; deleting the others frees{" "}
            <strong>{bytes(freed)}</strong>.
          </p>
          <Reasons reasons={details.reasons} />
        </div>
      </div>
      <Compare
        items={files}
        idOf={(file) => file.id}
        titles={(file) => (
          <>
            <span className="sense-break">{basename(file.path)}</span>
            <Keep
              kept={kept === file.id}
              suggested={details.keeper_file_id === file.id}
              name={basename(file.path)}
              keep={() =>
                offer(
                  withKeeper(
                    offered,
                    files.map((one) => one.id),
                    file.id,
                  ),
                )
              }
            />
          </>
        )}
        fields={FIELDS}
        label="Files of the scene"
      />
    </>
  );
};
