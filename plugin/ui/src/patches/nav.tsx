import React from "react";
import { NavLink } from "react-router-dom";
import { faFaceSmile } from "@fortawesome/free-solid-svg-icons";
import { api } from "../stash";
import { Boundary } from "../parts/Boundary";
import { Icon } from "../parts/Icon";
import { ROUTE } from "../screens/Page";

/** The button in the bar; Stash draws these items twice, for wide and narrow pages, and shows one. */
export function addNavButton(): void {
  api().patch.before("MainNavBar.UtilityItems", (props) => [
    {
      ...props,
      children: (
        <>
          <Boundary quiet>
            <NavLink
              className="nav-utility sense-nav btn minimal"
              to={ROUTE}
              title="Stash Sense"
              aria-label="Stash Sense"
            >
              <Icon icon={faFaceSmile} />
            </NavLink>
          </Boundary>
          {props.children}
        </>
      ),
    },
  ]);
}
