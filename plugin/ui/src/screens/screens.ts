// The screens of the page, in the order of their tabs. A new one is a file and a line here.
import type React from "react";
import type { IconDefinition } from "@fortawesome/free-solid-svg-icons";
import { faGauge, faGear, faLightbulb, faListCheck, faUsers } from "@fortawesome/free-solid-svg-icons";
import { Dashboard } from "./Dashboard";
import { Operations } from "./Operations";
import { People } from "./People";
import { Recommendations } from "./Recommendations";
import { Settings } from "./Settings";

export interface Screen {
  /** `?tab=` of the URL. */
  id: string;
  title: string;
  icon: IconDefinition;
  component: React.ComponentType;
}

export const SCREENS: Screen[] = [
  { id: "dashboard", title: "Dashboard", icon: faGauge, component: Dashboard },
  { id: "recommendations", title: "Recommendations", icon: faLightbulb, component: Recommendations },
  { id: "operations", title: "Operations", icon: faListCheck, component: Operations },
  { id: "people", title: "People", icon: faUsers, component: People },
  { id: "settings", title: "Settings", icon: faGear, component: Settings },
];
