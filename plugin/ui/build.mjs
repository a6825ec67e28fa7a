// Bundles the plugin and lays out its folder as Stash loads it: build/plugin/stash-sense/. React and all other libraries
// that Stash hands to plugins stay outside: `shims` take them from window.PluginApi.
import { cp, mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const root = at("../..");
const out = `${root}/build/plugin/stash-sense`;
const shim = (name) => at(`src/shims/${name}.cjs`);

const common = { bundle: true, target: "es2020", logLevel: "warning", absWorkingDir: root };

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  ...common,
  entryPoints: { "stash-sense": at("src/main.tsx") },
  outdir: out,
  format: "iife",
  minify: true,
  alias: {
    react: shim("react"),
    "react-dom": shim("react-dom"),
    "react-bootstrap": shim("react-bootstrap"),
    "react-router-dom": shim("react-router-dom"),
    "@apollo/client": shim("apollo"),
    "@fortawesome/free-solid-svg-icons": shim("solid-icons"),
  },
});
for (const name of ["stash-sense.yml", "stash_sense_backend.py", "stash_sense_proxy"]) {
  await cp(`${root}/plugin/${name}`, `${out}/${name}`, {
    recursive: true,
    filter: (path) => !path.includes("__pycache__"),
  });
}

if (process.argv.includes("--page")) {
  const page = `${root}/build/page`;
  await rm(page, { recursive: true, force: true });
  await mkdir(`${page}/assets`, { recursive: true });
  await build({
    ...common,
    entryPoints: { page: `${root}/tests/plugin/page/main.tsx` },
    outdir: `${page}/assets`,
    format: "iife",
    define: { "process.env.NODE_ENV": '"production"', "globalThis.__DEV__": "false" },
    loader: { ".css": "css" },
  });
  await cp(`${root}/tests/plugin/page/index.html`, `${page}/index.html`);
}
