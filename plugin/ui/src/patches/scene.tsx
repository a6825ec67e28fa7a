// A tab on the page of a scene.
import React from "react";
import { Nav, Tab } from "react-bootstrap";
import { IdentifyPanel } from "../identify/IdentifyPanel";
import { Boundary } from "../parts/Boundary";
import { api } from "../stash";
import type { PatchProps } from "../stash";

const KEY = "stash-sense-panel";

const idOf = (props: PatchProps): string | undefined => (props.scene as { id?: string } | undefined)?.id;

export function addSceneTab(): void {
  api().patch.before("ScenePage.Tabs", (props) => [
    {
      ...props,
      children: (
        <>
          {props.children}
          <Boundary quiet>
            <Nav.Item>
              <Nav.Link eventKey={KEY}>Stash Sense</Nav.Link>
            </Nav.Item>
          </Boundary>
        </>
      ),
    },
  ]);
  api().patch.before("ScenePage.TabContent", (props) => {
    const id = idOf(props);
    return [
      {
        ...props,
        children: (
          <>
            {props.children}
            {id ? (
              <Tab.Pane eventKey={KEY} mountOnEnter>
                <Boundary key={id}>
                  <IdentifyPanel target={{ entity: "scene", id }} />
                </Boundary>
              </Tab.Pane>
            ) : null}
          </>
        ),
      },
    ];
  });
}
