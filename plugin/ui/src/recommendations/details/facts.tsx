// Small things that several kinds of details show: the keeper, reasons, links into Stash, files in words.
import React from "react";
import { Badge, Button } from "react-bootstrap";
import { Link } from "react-router-dom";
import { faCheck, faStar } from "@fortawesome/free-solid-svg-icons";
import { Icon } from "../../parts/Icon";
import { bytes, clock } from "../../words";
import type { FileDetails, Named, Offered, Recommendation } from "../records";

export interface DetailProps<T> {
  recommendation: Recommendation;
  details: T;
  offered: Offered;
  /** Other parameters of the actions, such as another keeper. */
  offer: (offered: Offered) => void;
}

export const Reasons: React.FC<{ title?: string; reasons: string[] | undefined }> = ({ title = "Why", reasons }) =>
  reasons?.length ? (
    <section className="sense-block">
      <h4>{title}</h4>
      <ul className="sense-reasons">
        {reasons.map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
    </section>
  ) : null;

/** Says that something stays, or offers to let it stay instead. */
export const Keep: React.FC<{ kept: boolean; suggested: boolean; name: string; keep: () => void }> = (props) => (
  <div className="sense-keep">
    {props.kept ? (
      <Badge variant="success">
        <Icon icon={faCheck} /> stays
      </Badge>
    ) : (
      <Button size="sm" variant="secondary" aria-label={`Keep this instead: ${props.name}`} onClick={props.keep}>
        Keep this instead
      </Button>
    )}
    {props.suggested ? (
      <span className="sense-small text-muted">
        <Icon icon={faStar} /> suggested
      </span>
    ) : null}
  </div>
);

export const Names: React.FC<{ items: Named[]; kind: "performers" | "tags" | "studios" | "galleries" }> = (props) => (
  <>
    {props.items.map((item, place) => (
      <React.Fragment key={item.id}>
        {place ? ", " : ""}
        <Link to={`/${props.kind}/${item.id}`}>{item.name}</Link>
      </React.Fragment>
    ))}
  </>
);

export const SceneLink: React.FC<{ id: string; title: string; at?: number }> = ({ id, title, at }) => (
  <Link to={at === undefined ? `/scenes/${id}` : `/scenes/${id}?t=${Math.floor(at)}`}>{title || `Scene ${id}`}</Link>
);

export const resolution = (file: { width: number; height: number } | undefined): string =>
  file ? `${file.width} × ${file.height}` : "";
export const rate = (bitsPerS: number): string =>
  bitsPerS >= 1e6 ? `${(bitsPerS / 1e6).toFixed(1)} Mbit/s` : bitsPerS ? `${Math.round(bitsPerS / 1e3)} kbit/s` : "";
export const folder = (path: string): string => path.slice(0, path.lastIndexOf("/"));
export const basename = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

export const fileWords = (file: FileDetails | undefined): string =>
  file
    ? [resolution(file), file.video_codec, rate(file.bit_rate), clock(file.duration_s), bytes(file.size_bytes)]
        .filter(Boolean)
        .join(", ")
    : "no file";
