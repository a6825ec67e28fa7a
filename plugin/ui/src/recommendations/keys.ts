// Keys of the review. They rest while somebody types, while a dialog is open, and after Stash's own "g", which begins
// its shortcuts of two keys.
import { useEffect, useRef } from "react";

export type Keys = Record<string, () => void>;
const STASH_PREFIX_MS = 1000;

const typing = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

/** Calls what belongs to a key: "j", "D" (with Shift), "ArrowRight", "Escape". */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    let prefixAt = -STASH_PREFIX_MS;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (typing(event.target) || document.querySelector(".modal.show")) return;
      if (event.timeStamp - prefixAt < STASH_PREFIX_MS) return;
      if (event.key === "g") prefixAt = event.timeStamp;
      const act = latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, []);
}
