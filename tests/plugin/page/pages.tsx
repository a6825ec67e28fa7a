// Stash's own pages, as far as a plugin meets them: the places, classes and patch points of Stash 0.30 and its develop
// branch of January 2026 (ui/v2.5/src: MainNavbar, Scene, Image, Gallery, DetailsEditNavbar).
import { gql, useQuery } from "@apollo/client";
import React from "react";
import { Button, Nav, Tab } from "react-bootstrap";
import { Link, NavLink, Route, Switch, useParams } from "react-router-dom";
import { container, patched } from "./patch";

const Tabs = container<{ scene: unknown }>("ScenePage.Tabs");
const TabContent = container<{ scene: unknown }>("ScenePage.TabContent");
const MenuItems = container("MainNavBar.MenuItems");
const UtilityItems = container("MainNavBar.UtilityItems");
const PluginRoutes = patched<React.PropsWithChildren<unknown>>("PluginRoutes", (props) => <>{props.children}</>);

const PERFORMERS = "performers { id name image_path }";
const SCENE = gql`query FindScene($id: ID!) { findScene(id: $id) { id title ${PERFORMERS} paths { screenshot stream } } }`;
const IMAGE = gql`query FindImage($id: ID!) { findImage(id: $id) { id title ${PERFORMERS} paths { image } } }`;
const GALLERY = gql`query FindGallery($id: ID!) { findGallery(id: $id) { id title ${PERFORMERS} } }`;
const PERFORMER = gql`
  query FindPerformer($id: ID!) {
    findPerformer(id: $id) {
      id
      name
      image_path
    }
  }
`;

interface Row {
  id: string;
  title?: string;
  name?: string;
  image_path?: string;
  performers?: { id: string; name: string; image_path: string }[];
  paths?: { screenshot?: string; stream?: string; image?: string };
}

const Cast: React.FC<{ row: Row }> = ({ row }) => (
  <div className="performers">
    {row.performers?.map((one) => (
      <Link key={one.id} to={`/performers/${one.id}`} className="performer-tag">
        <img src={one.image_path} alt="" width={60} />
        <span>{one.name}</span>
      </Link>
    ))}
  </div>
);

function useRow(document: ReturnType<typeof gql>, field: string): Row | undefined {
  const { id } = useParams<{ id: string }>();
  return useQuery<Record<string, Row>>(document, { variables: { id } }).data?.[field];
}

/** video.js hangs its player on its element. */
function likeVideoJs(element: HTMLElement | null): void {
  const video = element?.querySelector("video");
  if (!element || !video) return;
  const player = {
    currentTime: (seconds: number) => {
      video.currentTime = seconds;
    },
    play: () => video.play(),
  };
  Object.assign(element, { player });
}

const Scene: React.FC = () => {
  const scene = useRow(SCENE, "findScene");
  const [active, setActive] = React.useState<string>("scene-details-panel");
  if (!scene) return null;
  return (
    <div className="row">
      <div className="scene-tabs order-xl-first order-last">
        <h3 className="scene-header">{scene.title}</h3>
        <div className="scene-toolbar">
          <span className="scene-toolbar-group" />
          <span className="scene-toolbar-group" />
        </div>
        <Tab.Container activeKey={active} onSelect={(key) => key && setActive(key)}>
          <Nav variant="tabs" className="mr-auto">
            <Tabs scene={scene}>
              <Nav.Item>
                <Nav.Link eventKey="scene-details-panel">Details</Nav.Link>
              </Nav.Item>
              <Nav.Item>
                <Nav.Link eventKey="scene-file-info-panel">File Info</Nav.Link>
              </Nav.Item>
            </Tabs>
          </Nav>
          <Tab.Content>
            <TabContent scene={scene}>
              <Tab.Pane eventKey="scene-details-panel">
                <Cast row={scene} />
              </Tab.Pane>
              <Tab.Pane eventKey="scene-file-info-panel">File</Tab.Pane>
            </TabContent>
          </Tab.Content>
        </Tab.Container>
      </div>
      <div className="scene-player-container">
        <div className="VideoPlayer">
          <div className="video-wrapper">
            <div className="video-js" ref={likeVideoJs}>
              {/* eslint-disable-next-line jsx-a11y/media-has-caption -- Stash's player */}
              <video
                className="vjs-tech"
                controls
                preload="metadata"
                poster={scene.paths?.screenshot}
                src={scene.paths?.stream}
              />
            </div>
          </div>
        </div>
      </div>
    </div>
  );
};

const Image: React.FC = () => {
  const image = useRow(IMAGE, "findImage");
  if (!image) return null;
  return (
    <div className="row">
      <div className="image-tabs order-xl-first order-last">
        <h3 className="image-header">{image.title || `Image ${image.id}`}</h3>
        <div className="image-toolbar">
          <span className="image-toolbar-group">★★★★★</span>
          <span className="image-toolbar-group">
            <span>
              <Button className="minimal">⋮</Button>
            </span>
          </span>
        </div>
        <Cast row={image} />
      </div>
      <div className="image-container">
        <img className="image-image" src={image.paths?.image} alt="" />
      </div>
    </div>
  );
};

const Gallery: React.FC = () => {
  const gallery = useRow(GALLERY, "findGallery");
  if (!gallery) return null;
  return (
    <div className="row">
      <div className="gallery-tabs">
        <h3 className="gallery-header">{gallery.title}</h3>
        <div className="gallery-toolbar">
          <span className="gallery-toolbar-group">★★★★★</span>
          <span className="gallery-toolbar-group">
            <span>
              <Button className="minimal">⋮</Button>
            </span>
          </span>
        </div>
        <Cast row={gallery} />
      </div>
    </div>
  );
};

const Performer: React.FC = () => {
  const performer = useRow(PERFORMER, "findPerformer");
  if (!performer) return null;
  return (
    <div id="performer-page" className="row">
      <div className="performer-head col">
        <h2>{performer.name}</h2>
        <img src={performer.image_path} alt="" width={180} />
        <div className="details-edit mb-2">
          <Button variant="primary" className="edit">
            Edit
          </Button>
          <Button variant="danger" className="delete">
            Delete
          </Button>
        </div>
      </div>
    </div>
  );
};

export const Navbar: React.FC = () => (
  <nav className="top-nav navbar navbar-expand-xl navbar-dark bg-dark fixed-top" aria-label="Stash">
    <div className="navbar-brand">
      <Link className="btn minimal brand-link" to="/">
        Stash
      </Link>
    </div>
    <div className="navbar-nav mr-auto flex-row">
      <MenuItems>
        {["Scenes", "Images", "Performers"].map((name) => (
          <NavLink key={name} className="nav-link px-2" to={`/${name.toLowerCase()}`}>
            {name}
          </NavLink>
        ))}
      </MenuItems>
    </div>
    <div className="navbar-buttons flex-row ml-auto navbar-nav">
      <UtilityItems>
        <NavLink className="nav-utility" exact to="/settings">
          <Button className="minimal d-flex align-items-center h-100" title="Settings">
            ⚙
          </Button>
        </NavLink>
      </UtilityItems>
    </div>
  </nav>
);

export const Pages: React.FC = () => (
  <Switch>
    <Route path="/scenes/:id" component={Scene} />
    <Route path="/images/:id" component={Image} />
    <Route path="/galleries/:id" component={Gallery} />
    <Route path="/performers/:id" component={Performer} />
    <Route path="/settings">Settings of Stash</Route>
    <PluginRoutes />
  </Switch>
);
