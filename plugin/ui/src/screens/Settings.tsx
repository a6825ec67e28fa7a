// Settings, performer database, models, Stash and its boxes, hardware: one section at a time, named by the URL.
import React from "react";
import { useInUrl } from "../hooks";
import { Database } from "../settings/Database";
import { Hardware } from "../settings/Hardware";
import { Models } from "../settings/Models";
import { StashSection } from "../settings/StashSection";
import { Table } from "../settings/Table";

const SECTIONS: { id: string; title: string; component: React.ComponentType }[] = [
  { id: "", title: "Settings", component: Table },
  { id: "database", title: "Performer database", component: Database },
  { id: "models", title: "Models", component: Models },
  { id: "stash", title: "Stash", component: StashSection },
  { id: "hardware", title: "Hardware", component: Hardware },
];

export const Settings: React.FC = () => {
  const [section, setSection] = useInUrl("section");
  const shown = SECTIONS.find((one) => one.id === section) ?? SECTIONS[0];
  if (!shown) return null;
  return (
    <div className="sense-sides">
      <nav className="nav flex-column nav-pills sense-side" aria-label="Sections">
        {SECTIONS.map((one) => (
          <button
            key={one.id}
            type="button"
            className={`nav-link ${one === shown ? "active" : ""}`}
            aria-current={one === shown ? "true" : undefined}
            onClick={() => setSection(one.id)}
          >
            {one.title}
          </button>
        ))}
      </nav>
      <div className="sense-side-body">
        <h4>{shown.title}</h4>
        <shown.component />
      </div>
    </div>
  );
};
