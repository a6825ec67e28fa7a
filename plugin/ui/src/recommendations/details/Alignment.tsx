// How two scenes lie on each other: both on one axis of time, the common part, and when each person is seen in each.
import React from "react";
import { useHistory } from "react-router-dom";
import { many } from "../../backend";
import { useAsk } from "../../hooks";
import { shownName } from "../../locals";
import type { FoundPerson } from "../../types";
import { clock, several, span } from "../../words";
import type { Alignment, SceneDetails } from "../records";

interface Placed {
  scene: SceneDetails;
  durationS: number;
  /** Time on the common axis = shift + time * scale. */
  shift: number;
  scale: number;
  common: [number, number] | undefined;
}

/** The axis is the time of the first scene; the second one is moved and stretched onto it. */
function place(scenes: SceneDetails[], alignment: Alignment | null): Placed[] {
  return scenes.map((scene, number) => {
    const durationS = scene.files[0]?.duration_s ?? 0;
    if (!alignment || number > 1) return { scene, durationS, shift: 0, scale: 1, common: undefined };
    if (number === 0) return { scene, durationS, shift: 0, scale: 1, common: alignment.a };
    const speed = alignment.speed || 1;
    return { scene, durationS, shift: -alignment.offset_s / speed, scale: 1 / speed, common: alignment.b };
  });
}

const COLOURS = ["#48aff0", "#ffb366", "#d69fd6", "#ff9980", "#f2e35c", "#a7b6c2"];
const MOST_PEOPLE = 6;
const personKey = (person: FoundPerson): string => person.universal_id ?? "unknown";

export const AlignedTimelines: React.FC<{ scenes: SceneDetails[]; alignment: Alignment | null }> = (props) => {
  const { scenes, alignment } = props;
  const ids = scenes.map((scene) => scene.id);
  const asked = useAsk(async () => {
    const outcomes = await many(ids.map((id) => ({ mode: "stored_scene" as const, path: { id } })));
    return outcomes.map((outcome) => outcome.output?.people);
  }, ids.join(":"));
  const placed = place(scenes, alignment);
  const start = Math.min(...placed.map((one) => one.shift));
  const end = Math.max(...placed.map((one) => one.shift + one.durationS * one.scale), start + 1);
  const names = new Map<string, string>();
  for (const person of asked.data?.flatMap((people) => people ?? []) ?? [])
    names.set(personKey(person), shownName(person.name ?? "Unknown"));
  const people = [...names.keys()].slice(0, MOST_PEOPLE);
  return (
    <section className="sense-block" aria-label="Timelines">
      <h4>Timelines</h4>
      <p className="text-muted sense-small">{told(alignment)}</p>
      {placed.map((one, number) => (
        <Lane
          key={one.scene.id}
          placed={one}
          letter={String.fromCharCode(65 + number)}
          from={start}
          length={end - start}
          people={people}
          seen={asked.data?.[number] ?? []}
          names={names}
        />
      ))}
      {people.length ? (
        <div className="sense-chips">
          {people.map((key, number) => (
            <span key={key} className="sense-legend">
              <span style={{ background: COLOURS[number] }} /> {names.get(key)}
            </span>
          ))}
        </div>
      ) : asked.loading ? null : (
        <p className="text-muted sense-small">
          {asked.data?.every(Boolean)
            ? "Nobody who is known was seen in them."
            : "Faces are shown here once the scenes are scanned."}
        </p>
      )}
    </section>
  );
};

const Lane: React.FC<{
  placed: Placed;
  letter: string;
  from: number;
  length: number;
  people: string[];
  seen: FoundPerson[];
  names: Map<string, string>;
}> = ({ placed, letter, from, length, people, seen, names }) => {
  const history = useHistory();
  const { scene, durationS, shift, scale, common } = placed;
  const at = (time: number) => `${((shift + time * scale - from) / length) * 100}%`;
  const wide = (seconds: number) => `${((seconds * scale) / length) * 100}%`;
  return (
    <div className="sense-lane">
      <div className="sense-lane-name">
        {letter} <span className="text-muted">{clock(durationS)}</span>
      </div>
      <div className="sense-lane-track" role="group" aria-label={`Timeline of scene ${letter}`}>
        <span className="sense-lane-whole" style={{ left: at(0), width: wide(durationS) }} />
        {common ? (
          <span
            className="sense-lane-common"
            style={{ left: at(common[0]), width: wide(common[1] - common[0]) }}
            title={`The same from ${clock(common[0])} to ${clock(common[1])}`}
          />
        ) : null}
        {people.map((key, row) =>
          seen
            .filter((person) => personKey(person) === key)
            .flatMap((person) => person.ranges)
            .map(([begin, finish]) => (
              <button
                key={`${key} ${begin}`}
                type="button"
                className="sense-lane-range"
                style={{
                  left: at(begin),
                  width: `max(8px, ${wide(finish - begin)})`,
                  top: `${18 + row * 14}px`,
                  background: COLOURS[row],
                }}
                title={`${names.get(key)}, ${clock(begin)} to ${clock(finish)}`}
                aria-label={`${names.get(key)} in ${letter} at ${clock(begin)}: open the scene there`}
                onClick={() => history.push(`/scenes/${scene.id}?t=${Math.floor(begin)}`)}
              />
            )),
        )}
        <span style={{ display: "block", height: `${24 + people.length * 14}px` }} />
      </div>
    </div>
  );
};

function told(alignment: Alignment | null): string {
  if (!alignment) return "The pictures were not aligned.";
  const length = alignment.a[1] - alignment.a[0];
  const facts = [`The same for ${span(length)}`];
  if (Math.abs(alignment.offset_s) >= 0.5)
    facts.push(
      `B runs ${several(Math.round(Math.abs(alignment.offset_s)), "second")} ${alignment.offset_s > 0 ? "later" : "earlier"}`,
    );
  if (Math.abs(alignment.speed - 1) > 0.001) facts.push(`at ${(100 / alignment.speed).toFixed(1)} % of its speed`);
  if (alignment.mirrored) facts.push("mirrored");
  return `${facts.join(", ")}.`;
}
