// A scene's cover from Stash; where the pointer is along it, the picture of that time from Stash's sprite.
import React from "react";
import { graphql } from "../../stash";
import { clock } from "../../words";
import { picture } from "../pictures";

interface Tile {
  start: number;
  url: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

const QUERY = "query StashSenseSprite($id: ID!) { findScene(id: $id) { id paths { vtt } } }";
const kept = new Map<string, Promise<Tile[]>>();

/** The pictures of a scene over its time; none where Stash has no sprite. */
function tilesOf(id: string): Promise<Tile[]> {
  const known = kept.get(id) ?? fetchTiles(id).catch((): Tile[] => []);
  kept.set(id, known);
  return known;
}

async function fetchTiles(id: string): Promise<Tile[]> {
  const answer = await graphql<{ findScene: { paths: { vtt: string | null } } | null }>(QUERY, { id });
  const vtt = answer.findScene?.paths.vtt;
  if (!vtt) return [];
  const response = await fetch(vtt);
  return response.ok ? parse(await response.text(), response.url) : [];
}

/** Cues of WebVTT: a time, then `name#xywh=x,y,width,height`. */
export function parse(text: string, base: string): Tile[] {
  const cues = text.matchAll(/(?:(\d+):)?(\d\d):(\d\d)\.(\d{3}) --> [^\n]*\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)/g);
  return [...cues].map(([, hours, minutes, seconds, ms, name, x, y, width, height]) => ({
    start: Number(hours ?? 0) * 3600 + Number(minutes) * 60 + Number(seconds) + Number(ms) / 1000,
    url: new URL(name ?? "", base).href,
    x: Number(x),
    y: Number(y),
    width: Number(width),
    height: Number(height),
  }));
}

export const Cover: React.FC<{ id: string; title: string; durationS: number }> = ({ id, title, durationS }) => {
  const [tiles, setTiles] = React.useState<Tile[]>([]);
  const [at, setAt] = React.useState<number>();
  const [size, setSize] = React.useState<[number, number]>([0, 0]);
  const wanted = React.useRef("");
  const moved = (event: React.PointerEvent<HTMLDivElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    setSize([box.width, box.height]);
    setAt(Math.min(1, Math.max(0, (event.clientX - box.left) / Math.max(1, box.width))));
    if (wanted.current === id) return;
    wanted.current = id;
    void tilesOf(id).then(setTiles);
  };
  const tile = at === undefined ? undefined : tiles[Math.min(tiles.length - 1, Math.floor(at * tiles.length))];
  return (
    <div className="sense-cover" onPointerMove={moved} onPointerLeave={() => setAt(undefined)}>
      <img src={picture("scene", id)} alt={`Cover of ${title}`} />
      {tile ? <Sprite tile={tile} box={size} /> : null}
      {tile && at !== undefined ? (
        <>
          <span className="sense-cover-line" style={{ left: `${at * 100}%` }} />
          <span className="sense-cover-time">{clock(at * durationS)}</span>
        </>
      ) : null}
    </div>
  );
};

/** One picture of a sprite, as large as the cover allows. */
const Sprite: React.FC<{ tile: Tile; box: [number, number] }> = ({ tile, box }) => {
  const scale = Math.min(box[0] / tile.width, box[1] / tile.height);
  const style = {
    width: tile.width,
    height: tile.height,
    backgroundImage: `url("${encodeURI(decodeURI(tile.url))}")`,
    backgroundPosition: `-${tile.x}px -${tile.y}px`,
    transform: `translate(-50%, -50%) scale(${scale})`,
  };
  return (
    <span className="sense-cover-sprite" aria-hidden="true">
      <span style={style} />
    </span>
  );
};
