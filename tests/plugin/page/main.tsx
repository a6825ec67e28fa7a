// A page that hands a plugin what Stash's page hands it: the real libraries in the versions that Stash ships, the patch
// points, the theme. Then it loads the plugins that the server names, as Stash does.
import * as Apollo from "@apollo/client";
import * as FontAwesomeBrands from "@fortawesome/free-brands-svg-icons";
import * as FontAwesomeRegular from "@fortawesome/free-regular-svg-icons";
import * as FontAwesomeSolid from "@fortawesome/free-solid-svg-icons";
import * as ReactFontAwesome from "@fortawesome/react-fontawesome";
import Mousetrap from "mousetrap";
import React from "react";
import * as Bootstrap from "react-bootstrap";
import ReactDOM from "react-dom";
import * as Intl from "react-intl";
import * as ReactRouterDOM from "react-router-dom";
import { Navbar, Pages } from "./pages";
import { after, before, components, instead, registerComponent } from "./patch";
import "bootstrap/dist/css/bootstrap.css";
import "./theme.css";

const client = new Apollo.ApolloClient({ uri: "/graphql", cache: new Apollo.InMemoryCache() });
const events = new EventTarget();
const toasts: string[] = [];

const say = (text: string) => {
  toasts.push(text);
  const shown = document.createElement("div");
  shown.className = "toast show page-toast";
  shown.textContent = text;
  document.body.append(shown);
  window.setTimeout(() => shown.remove(), 3000);
};

Object.assign(window, {
  PluginApi: {
    React,
    ReactDOM,
    GQL: {},
    libraries: {
      ReactRouterDOM,
      Bootstrap,
      Apollo,
      Intl,
      FontAwesomeRegular,
      FontAwesomeSolid,
      FontAwesomeBrands,
      Mousetrap,
      ReactFontAwesome,
    },
    register: {
      route: (path: string, component: React.ComponentType) =>
        before("PluginRoutes", ((props: React.PropsWithChildren<unknown>) => [
          {
            children: (
              <>
                {props.children}
                <ReactRouterDOM.Route path={path} component={component} />
              </>
            ),
          },
        ]) as never),
      component: registerComponent,
    },
    components,
    loadableComponents: {},
    utils: { StashService: { getClient: () => client }, NavUtils: {}, loadComponents: () => Promise.resolve() },
    hooks: { useToast: () => ({ success: say, error: (error: unknown) => say(String(error)) }) },
    patch: { before, instead, after },
    Event: events,
  },
});

const Locations: React.FC = () => {
  const location = ReactRouterDOM.useLocation();
  React.useEffect(() => {
    events.dispatchEvent(new CustomEvent("stash:location", { detail: { data: { location } } }));
  }, [location]);
  return null;
};

const App: React.FC = () => (
  <Apollo.ApolloProvider client={client}>
    <Intl.IntlProvider locale="en-GB">
      <ReactRouterDOM.BrowserRouter>
        <Locations />
        <Navbar />
        <div className="main container-fluid">
          <Pages />
        </div>
      </ReactRouterDOM.BrowserRouter>
    </Intl.IntlProvider>
  </Apollo.ApolloProvider>
);

const load = (path: string) =>
  new Promise<void>((done) => {
    const script = document.createElement("script");
    script.src = path;
    script.onload = script.onerror = () => done();
    document.body.append(script);
  });

interface Loaded {
  plugins: { enabled: boolean; paths: { javascript: string[] | null; css: string[] | null } }[];
}

async function start(): Promise<void> {
  const query = Apollo.gql`
    query Plugins {
      plugins {
        id
        enabled
        paths {
          javascript
          css
        }
      }
    }
  `;
  const { data } = await client.query<Loaded>({ query });
  for (const plugin of data.plugins.filter((one) => one.enabled)) {
    for (const path of plugin.paths.css ?? []) {
      const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: path });
      document.head.append(link);
    }
    for (const path of plugin.paths.javascript ?? []) await load(path);
  }
  ReactDOM.render(<App />, document.getElementById("root"));
}

void start();
