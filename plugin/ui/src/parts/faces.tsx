// Faces, how sure a name is, and when somebody is seen.
import React from "react";
import { faUser } from "@fortawesome/free-solid-svg-icons";
import { crop } from "../backend";
import { clock, percent } from "../words";
import { Icon } from "./Icon";

/** A face crop of the server, fetched through the plugin; a silhouette while it comes and where it is gone. */
export const Face: React.FC<{ path: string | null | undefined; name: string; size?: number }> = (props) => {
  const { path, name, size = 96 } = props;
  const [source, setSource] = React.useState<string | null>();
  React.useEffect(() => {
    let gone = false;
    setSource(undefined);
    if (path) void crop(path).then((url) => !gone && setSource(url));
    return () => {
      gone = true;
    };
  }, [path]);
  const style = { width: size, height: size };
  if (source) return <img className="sense-face" src={source} alt={`Face of ${name}`} style={style} />;
  return (
    <span className="sense-face sense-face-none" style={style} role="img" aria-label={`No picture of ${name}`}>
      <Icon icon={faUser} />
    </span>
  );
};

/** From 70 % on a name is sure enough to be accepted in bulk, below 50 % it is a guess. */
export const SURE = 0.7;
export const LIKELY = 0.5;

export const Confidence: React.FC<{ value: number }> = ({ value }) => {
  const level = value >= SURE ? "high" : value >= LIKELY ? "medium" : "low";
  return (
    <span className={`sense-confidence sense-confidence-${level}`} title="How sure the name is">
      {percent(value)}
    </span>
  );
};

/** When somebody is seen in a video; a click or Enter jumps there. */
export const Timeline: React.FC<{
  ranges: [number, number][];
  durationS: number;
  name: string;
  jump: (s: number) => void;
}> = (props) => {
  const { ranges, durationS, name, jump } = props;
  const all = Math.max(durationS, ...ranges.map((range) => range[1]), 1);
  return (
    <div className="sense-timeline" role="group" aria-label={`When ${name} is seen`}>
      {ranges.map(([start, end]) => (
        <button
          key={start}
          type="button"
          className="sense-range"
          style={{ left: `${(start / all) * 100}%`, width: `max(6px, ${((end - start) / all) * 100}%)` }}
          title={`${clock(start)} to ${clock(end)}`}
          aria-label={`Jump to ${clock(start)}`}
          onClick={() => jump(start)}
        />
      ))}
    </div>
  );
};

interface VideoJsElement extends HTMLElement {
  player?: { currentTime(seconds: number): void; play(): Promise<void> | undefined };
}

/** Makes Stash's player go to a time and play. */
export function jumpTo(seconds: number): void {
  const element = document.querySelector<VideoJsElement>(".VideoPlayer .video-js");
  if (element?.player) {
    element.player.currentTime(seconds);
    void element.player.play();
    return;
  }
  const video = document.querySelector<HTMLVideoElement>(".VideoPlayer video");
  if (!video) return;
  video.currentTime = seconds;
  video.play().catch(() => undefined); // a browser that blocks playing has gone to the place all the same
}
