// Where Stash starts the plugin: registers the page, and what is added to Stash's own pages.
import { addIdentifyButtons } from "./patches/buttons";
import { addNavButton } from "./patches/nav";
import { addPage } from "./patches/page";
import { addSceneTab } from "./patches/scene";
import "./style.css";
import "./recommendations/style.css";

for (const add of [addPage, addNavButton, addSceneTab, addIdentifyButtons]) {
  try {
    add();
  } catch (error) {
    console.error("Stash Sense:", error); // one that this version of Stash does not know leaves the others
  }
}
