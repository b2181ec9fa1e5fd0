import { execFileSync } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { build as esbuild } from "esbuild";
import { build, preview } from "vite";
import type { Simulator } from "../src/simulator/http-server.ts";
import { type App, lend, readmeExample } from "./packaged/app.ts";
import { expect, expectTwoTabs, test } from "./packaged/fixtures.ts";

const page = '<!doctype html><script type="module" src="main.js"></script>';
const dist = "node_modules/comfy-tabs/dist";

/** A page that has no bundler: the two files of the package that it needs, and its script. */
function plainPage(app: App, script: string): string {
  app.write({ "site/index.html": page, "site/main.js": script.replace("comfy-tabs", "./standalone.js") });
  for (const file of ["standalone.js", "worker.js"])
    cpSync(join(app.folder, dist, file), join(app.folder, "site", file));
  return join(app.folder, "site");
}

const policy = ({ url }: Simulator): string =>
  `default-src 'self'; connect-src ${url} ${url.replace("http", "ws")}`;

test("the package runs in an empty Vite app, as the README shows it, in two tabs over one socket", async ({
  comfy,
  context,
  makeApp,
}) => {
  test.setTimeout(180_000);
  const example = readmeExample(comfy.url);
  expect(example.trim().split("\n").length).toBeLessThanOrEqual(25);
  const { folder: root, write } = makeApp();
  write({ "index.html": page.replace("main.js", "/main.ts"), "main.ts": example });
  const vite = { root, configFile: false, logLevel: "error" } as const;
  await build({ ...vite, build: { target: "es2022" } });
  const server = await preview({ ...vite, preview: { port: 0, host: "127.0.0.1" } });
  await expectTwoTabs(context, server.resolvedUrls?.local[0] ?? "", comfy);
  await new Promise((closed) => server.httpServer.close(closed));
});

test("the package runs in a bundle of esbuild's, with the worker copied beside it", async ({
  comfy,
  context,
  makeApp,
  serve,
}) => {
  const { folder, write } = makeApp();
  write({ "main.ts": readmeExample(comfy.url), "site/index.html": page });
  const outfile = join(folder, "site/main.js");
  await esbuild({
    entryPoints: [join(folder, "main.ts")],
    outfile,
    bundle: true,
    format: "esm",
    logLevel: "error",
  });
  cpSync(join(folder, dist, "worker.js"), join(folder, "site/worker.js"));
  await expectTwoTabs(context, await serve(join(folder, "site")), comfy);
});

test("the package runs without a bundler, under a policy that allows the page's own files only", async ({
  comfy,
  context,
  makeApp,
  serve,
}) => {
  const site = plainPage(makeApp(), readmeExample(comfy.url));
  const url = await serve(site, { "content-security-policy": policy(comfy) });
  await expectTwoTabs(context, url, comfy);
});

test("the package runs where scripts need Trusted Types, with a worker that the app vouches for", async ({
  comfy,
  context,
  makeApp,
  serve,
}) => {
  const app = makeApp();
  app.write({
    "site/worker-of-mine.js": `
      const policy = trustedTypes.createPolicy("my-app", { createScriptURL: (url) => url });
      const url = policy.createScriptURL("/worker.js");
      export const worker = (kind, name) =>
        kind === "shared"
          ? new SharedWorker(url, { type: "module", name, extendedLifetime: true })
          : new Worker(url, { type: "module", name });`,
  });
  const example = readmeExample(comfy.url).replace("connect({", "connect({ worker,");
  const site = plainPage(app, `import { worker } from "./worker-of-mine.js";\n${example}`);
  const url = await serve(site, {
    "content-security-policy": `${policy(comfy)}; require-trusted-types-for 'script'; trusted-types my-app default`,
  });
  await expectTwoTabs(context, url, comfy);

  const [page] = context.pages();
  const refusal = page?.evaluate(async (server) => {
    const { connect } = (await import(
      `${location.origin}/standalone.js`
    )) as typeof import("../src/client/index.ts");
    const told = await connect({ servers: [server], name: "other" }).catch((error: Error) => error.message);
    return told;
  }, comfy.url);
  expect(await refusal).toContain("TrustedScriptURL");
});

test("scripts and tests that are CommonJS can require the package, as Node lets them require modules", ({
  makeApp,
}) => {
  const app = makeApp();
  lend(app, ["ws"]);
  app.write({
    "main.cjs": `
      const { connect } = require("comfy-tabs");
      const { startSimulator } = require("comfy-tabs/simulator");
      console.log(typeof connect, typeof startSimulator);`,
  });
  const said = execFileSync("node", ["main.cjs"], { cwd: app.folder, encoding: "utf8", timeout: 30_000 });
  expect(said.trim()).toBe("function function");
});

test("importing any part of the package in Node is harmless, and connecting there is refused", ({
  makeApp,
}) => {
  const app = makeApp();
  app.write({
    "node_modules/react/package.json": '{ "name": "react", "type": "module", "main": "index.js" }',
    "node_modules/react/index.js":
      "export const useMemo = () => {}, useState = useMemo, useSyncExternalStore = useMemo;",
    "node_modules/vue/package.json": '{ "name": "vue", "type": "module", "main": "index.js" }',
    "node_modules/vue/index.js":
      "export const onMounted = () => {}, shallowRef = onMounted, toValue = onMounted, watch = onMounted;",
    "main.js": `
      const before = Object.keys(globalThis).join();
      const parts = ["comfy-tabs", "comfy-tabs/react", "comfy-tabs/vue", "comfy-tabs/debug", "comfy-tabs/compat"];
      const names = (await Promise.all(parts.map((part) => import(part)))).flatMap(Object.keys);
      const { connect } = await import("comfy-tabs");
      const code = await connect({ servers: ["http://127.0.0.1:8188"] }).catch((error) => error.code);
      console.log(JSON.stringify({ code, names, clean: Object.keys(globalThis).join() === before }));`,
  });
  const said = execFileSync("node", ["main.js"], { cwd: app.folder, encoding: "utf8", timeout: 30_000 });
  expect(JSON.parse(said)).toEqual({
    code: "unsupported-environment",
    clean: true,
    names: [
      "ComfyTabsError",
      "connect",
      "useComfy",
      "useServers",
      "useTask",
      "useComfy",
      "useServers",
      "useTask",
      "enableDebug",
      "testMultiWindow",
      "WINDOW_CLIENT_ID",
      "WINDOW_ID",
      "configureServers",
      "currentWebSocketServer",
      "generateUniqueClientId",
      "generateWindowId",
      "getWindowTask",
      "lockServerForWindow",
      "registerWindowTask",
      "removeWindowTask",
      "serverLockTimestamp",
      "unlockServerForWindow",
      "windowLockTimestamp",
      "windowLockedServer",
      "windowTasks",
    ],
  });
});
