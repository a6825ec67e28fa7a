// Performers who seem to be one person: pictures and facts side by side, and which one stays.
import React from "react";
import { Link } from "react-router-dom";
import { count, percent } from "../../words";
import { withKeeper } from "../keeper";
import { picture } from "../pictures";
import type { DuplicatePerformersDetails, PerformerDetails } from "../records";
import { Compare } from "./Compare";
import type { Field } from "./Compare";
import { Keep, Reasons } from "./facts";
import type { DetailProps } from "./facts";

const FIELDS: Field<PerformerDetails>[] = [
  { name: "Name", show: (one) => one.name },
  { name: "Disambiguation", show: (one) => one.disambiguation },
  { name: "Aliases", show: (one) => one.aliases.join(", ") },
  { name: "Born", show: (one) => one.birthdate },
  { name: "Country", show: (one) => one.country },
  { name: "Gender", show: (one) => one.gender?.toLowerCase() },
  { name: "Scenes", show: (one) => count(one.scene_count), rank: (one) => one.scene_count },
  { name: "Images", show: (one) => count(one.image_count), rank: (one) => one.image_count },
  { name: "Galleries", show: (one) => count(one.gallery_count), rank: (one) => one.gallery_count },
  {
    name: "Stash-boxes",
    show: (one) => one.stash_ids.map((link) => new URL(link.endpoint).host).join(", "),
    key: (one) => one.stash_ids.map((link) => `${link.endpoint} ${link.stash_id}`).sort(),
  },
];

export const DuplicatePerformers: React.FC<DetailProps<DuplicatePerformersDetails>> = (props) => {
  const { details, offered, offer } = props;
  const { performers } = details;
  const ids = performers.map((one) => one.id);
  const kept = String(offered["merge_performers"]?.["destination_id"] ?? details.keeper.id);
  return (
    <>
      {typeof details.face_similarity === "number" ? (
        <p className="lead">Their faces are alike to {percent(details.face_similarity)}.</p>
      ) : null}
      <div className="sense-portraits">
        {performers.map((one) => (
          <div key={one.id} className={`sense-half ${kept === one.id ? "sense-half-kept" : ""}`}>
            <img className="sense-half-portrait" src={picture("performer", one.id)} alt={`Portrait of ${one.name}`} />
            <div className="sense-half-head">
              <Link to={`/performers/${one.id}`}>{one.name}</Link>
            </div>
            <Keep
              kept={kept === one.id}
              suggested={details.keeper.id === one.id}
              name={one.name}
              keep={() => offer(withKeeper(offered, ids, one.id))}
            />
          </div>
        ))}
      </div>
      <div className="sense-columns">
        <Reasons title="Why this is one person" reasons={details.reasons} />
        <Reasons title="Why that one should stay" reasons={details.keeper.reasons} />
      </div>
      <Compare
        items={performers}
        idOf={(one) => one.id}
        titles={(one) => one.name}
        fields={FIELDS}
        label="Facts about the performers"
      />
    </>
  );
};
