// The picture of somebody who is enrolled: Stash's own, else a face that the server keeps. Nothing is asked of others.
import React from "react";
import { faUser } from "@fortawesome/free-solid-svg-icons";
import { crop } from "../backend";
import { parts } from "../locals";
import { Icon } from "../parts/Icon";
import type { Person } from "../types";

/** Path of the picture that Stash has of somebody, if it is one of its performers. */
export function inStash(person: Person): string | undefined {
  const own = person.ids.map(parts).find(([domain]) => domain === "stash");
  return own ? `performer/${own[1]}/image` : undefined;
}

export const Portrait: React.FC<{ person: Person; path?: string | null | undefined }> = ({ person, path }) => {
  const [broken, setBroken] = React.useState(false);
  const [kept, setKept] = React.useState<string | null>();
  const stash = inStash(person);
  const wanted = stash && !broken ? undefined : (path ?? person.crop_url);
  React.useEffect(() => {
    let gone = false;
    setKept(undefined);
    if (wanted) void crop(wanted).then((url) => !gone && setKept(url));
    return () => {
      gone = true;
    };
  }, [wanted]);
  if (stash && !broken)
    return <img className="sense-portrait" src={stash} alt="" loading="lazy" onError={() => setBroken(true)} />;
  if (kept) return <img className="sense-portrait" src={kept} alt="" />;
  return (
    <span className="sense-portrait sense-face-none">
      <Icon icon={faUser} />
    </span>
  );
};
