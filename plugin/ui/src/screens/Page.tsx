// The page of the plugin: tabs, and below them the screen that the URL names.
import React from "react";
import { Link, useLocation } from "react-router-dom";
import { Boundary } from "../parts/Boundary";
import { Icon } from "../parts/Icon";
import { SCREENS } from "./screens";

export const ROUTE = "/plugins/stash-sense";

/** Address of a screen, with filters of its own. */
export function screenUrl(id: string, filters: Record<string, string> = {}): string {
  return `${ROUTE}?${new URLSearchParams({ tab: id, ...filters }).toString()}`;
}

export const Page: React.FC = () => {
  const asked = new URLSearchParams(useLocation().search).get("tab");
  const screen = SCREENS.find((one) => one.id === asked) ?? SCREENS[0];
  React.useEffect(() => {
    const before = document.title;
    document.title = "Stash Sense | Stash";
    return () => {
      document.title = before;
    };
  }, []);
  if (!screen) return null;
  return (
    <div className="sense-page">
      <h2 className="sr-only">Stash Sense</h2>
      <nav className="nav nav-tabs sense-tabs" aria-label="Stash Sense">
        {SCREENS.map((one) => (
          <Link
            key={one.id}
            className={`nav-link ${one === screen ? "active" : ""}`}
            aria-current={one === screen ? "page" : undefined}
            to={screenUrl(one.id)}
          >
            <Icon icon={one.icon} /> {one.title}
          </Link>
        ))}
      </nav>
      <Boundary key={screen.id}>
        <screen.component />
      </Boundary>
    </div>
  );
};
