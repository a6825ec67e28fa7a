// Images that show the same: side by side, and which one stays.
import React from "react";
import { Link } from "react-router-dom";
import { bytes } from "../../words";
import { withKeeper } from "../keeper";
import { picture } from "../pictures";
import type { DuplicateImagesDetails, ImageDetails } from "../records";
import { Compare } from "./Compare";
import type { Field } from "./Compare";
import { basename, folder, Keep, Names, Reasons, resolution } from "./facts";
import type { DetailProps } from "./facts";

const nameOf = (one: ImageDetails): string => one.title || basename(one.path) || `Image ${one.id}`;

const numbered = (id: string) => ({ id, name: `Gallery ${id}` });

const FIELDS: Field<ImageDetails>[] = [
  { name: "Title", show: (one) => one.title },
  { name: "Resolution", show: resolution, rank: (one) => one.width * one.height },
  { name: "Size", show: (one) => bytes(one.size_bytes), key: (one) => one.size_bytes },
  {
    name: "Galleries",
    show: (one) => (one.galleries.length ? <Names items={one.galleries.map(numbered)} kind="galleries" /> : ""),
    key: (one) => [...one.galleries].sort(),
  },
  {
    name: "Folder",
    show: (one) => <span className="sense-break">{folder(one.path)}</span>,
    key: (one) => folder(one.path),
  },
  {
    name: "File",
    show: (one) => <span className="sense-break">{basename(one.path)}</span>,
    key: (one) => basename(one.path),
  },
];

export const DuplicateImages: React.FC<DetailProps<DuplicateImagesDetails>> = ({ details, offered, offer }) => {
  const { images } = details;
  const ids = images.map((one) => one.id);
  const kept = String(offered["delete_images"]?.["keep_id"] ?? details.keeper.id);
  return (
    <>
      <div className="sense-pair">
        {images.map((one) => (
          <div key={one.id} className={`sense-half ${kept === one.id ? "sense-half-kept" : ""}`}>
            <img className="sense-half-image" src={picture("image", one.id)} alt={nameOf(one)} />
            <div className="sense-half-head">
              <Link to={`/images/${one.id}`}>{nameOf(one)}</Link>
            </div>
            <Keep
              kept={kept === one.id}
              suggested={details.keeper.id === one.id}
              name={nameOf(one)}
              keep={() => offer(withKeeper(offered, ids, one.id))}
            />
          </div>
        ))}
      </div>
      <div className="sense-columns">
        <Reasons title="Why these are duplicates" reasons={details.reasons} />
        <Reasons title="Why that one should stay" reasons={details.keeper.reasons} />
      </div>
      <Compare
        items={images}
        idOf={(one) => one.id}
        titles={(one) => `Image ${one.id}`}
        fields={FIELDS}
        label="Facts about the images"
      />
    </>
  );
};
