import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "vite";
import { type App, install, readmeExample } from "./packaged/app.ts";
import { expectTwoTabs, test } from "./packaged/fixtures.ts";

/**
 * Every bundler that the README names, as a new user has it: installed into an empty app with the package, run on
 * the README's example, and nothing done but what the README says.
 */
interface Case {
  readonly packages: readonly string[];
  /** Default: the README's example alone, `src/main.js`. */
  readonly files?: (example: string) => Readonly<Record<string, string>>;
  /** Makes `dist/main.js`. */
  readonly bundle: (app: App) => void;
  /** The README's line for bundlers that leave the worker's address alone. */
  readonly copiesWorker?: true;
  /** One that follows the worker's address, and one that does not, for whoever has no time for all. */
  readonly isShort?: true;
}

const withWorkerOption = (example: string): string =>
  example.replace("connect({", 'connect({ worker: "/worker.js",');

/** Formats other than ES modules have no top-level await. */
const inFunction = (example: string): string => {
  const [first = "", ...rest] = example.split("\n");
  return `${first}\n(async () => {\n${rest.join("\n")}\n})();\n`;
};

/** An app whose worker is its own file: what has no exports must not be shaken away. */
const ownWorker = (example: string): Readonly<Record<string, string>> => ({
  "src/my-worker.js": 'import "comfy-tabs/worker";\n',
  "src/main.js": `const worker = (kind, name) =>
    new SharedWorker(new URL("./my-worker.js", import.meta.url), { type: "module", name, extendedLifetime: true });
    ${example.replace("connect({", "connect({ worker,")}`,
});

/** A part of the package besides the client. */
const inReact = (example: string): Readonly<Record<string, string>> => ({
  "src/main.js": `import { useComfy } from "comfy-tabs/react";
    import { createElement, useEffect } from "react";
    import { createRoot } from "react-dom/client";
    ${/const workflow = [\s\S]*?\n\};/.exec(example)?.[0]}
    function App() {
      const { session } = useComfy({ servers: ${/servers: (\[.*?\])/.exec(example)?.[1]} });
      useEffect(() => {
        session?.submit(workflow).then((task) => task.result()).then(({ outputs, files }) => console.log(outputs, files));
      }, [session]);
      return null;
    }
    createRoot(document.body).render(createElement(App));`,
});

const parcelBuild = (app: App): void => {
  app.write({ "index.html": '<!doctype html><script type="module" src="src/main.js"></script>' });
  app.run("parcel", "build", "index.html", "--no-cache");
};

const webpack = ["webpack@5.112.2", "webpack-cli@7.3.1"];
const react = ["react@19.3.1", "react-dom@19.3.1"];
const webpackBuild = (app: App): void => {
  app.write({
    "webpack.config.cjs":
      'module.exports = { mode: "production", entry: "./src/main.js", stats: "errors-only" };',
  });
  app.run("webpack");
};
const viteBuild = (app: App): void => {
  app.write({ "index.html": '<!doctype html><script type="module" src="/src/main.js"></script>' });
  app.run("vite", "build");
};
const rollupConfig = `import resolve from "@rollup/plugin-node-resolve";
  export default { input: "src/main.js", plugins: [resolve({ browser: true })], output: { dir: "dist", format: "es" } };`;

const cases: Readonly<Record<string, Case>> = {
  "Vite 8": { packages: ["vite@8.3.8"], bundle: viteBuild },
  "Vite 8, with a worker file of the app's own": {
    packages: ["vite@8.3.8"],
    files: ownWorker,
    bundle: viteBuild,
  },
  "webpack 5": {
    packages: webpack,
    bundle: webpackBuild,
    isShort: true,
  },
  "webpack 5, with a worker file of the app's own": {
    packages: webpack,
    files: ownWorker,
    bundle: webpackBuild,
  },
  "Rollup 4": {
    packages: ["rollup@4.68.7", "@rollup/plugin-node-resolve@16.0.3"],
    copiesWorker: true,
    isShort: true,
    bundle(app) {
      app.write({ "rollup.config.js": rollupConfig });
      app.run("rollup", "-c", "--silent");
    },
  },
  Rolldown: {
    packages: ["rolldown@1.3.2"],
    copiesWorker: true,
    bundle: (app) => app.run("rolldown", "src/main.js", "--dir", "dist", "--platform", "browser"),
  },
  "esbuild, to an ES module": {
    packages: ["esbuild@0.28.2"],
    copiesWorker: true,
    bundle: (app) => app.run("esbuild", "src/main.js", "--bundle", "--format=esm", "--outdir=dist"),
  },
  "esbuild, to a classic script with the `worker` option": {
    packages: ["esbuild@0.28.2"],
    copiesWorker: true,
    files: (example) => ({ "src/main.js": inFunction(withWorkerOption(example)) }),
    bundle: (app) => app.run("esbuild", "src/main.js", "--bundle", "--outdir=dist", "--log-level=error"),
  },
  "Parcel 2": { packages: ["parcel@2.16.4"], bundle: parcelBuild },
  "Parcel 2, with React": {
    packages: ["parcel@2.16.4", ...react],
    files: inReact,
    bundle(app) {
      const file = join(app.folder, "package.json");
      const settings = { "@parcel/resolver-default": { packageExports: true } };
      app.write({
        "package.json": JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...settings }),
      });
      parcelBuild(app);
    },
  },
  "webpack 5, with React": {
    packages: [...webpack, ...react],
    files: inReact,
    bundle: webpackBuild,
  },
};

test.describe.configure({ timeout: 240_000 });

for (const [bundler, { packages, files, bundle, copiesWorker, isShort }] of Object.entries(cases))
  test(`the package runs in two tabs when bundled by ${bundler}`, { tag: isShort ? "@short" : [] }, async ({
    comfy,
    context,
    makeApp,
    serve,
  }) => {
    const app = makeApp();
    install(app, packages);
    const example = readmeExample(comfy.url);
    app.write(files?.(example) ?? { "src/main.js": example });
    app.write({ "dist/index.html": '<!doctype html><script type="module" src="main.js"></script>' });
    bundle(app);
    const dist = join(app.folder, "dist");
    if (copiesWorker)
      cpSync(join(app.folder, "node_modules/comfy-tabs/dist/worker.js"), join(dist, "worker.js"));
    await expectTwoTabs(context, await serve(dist), comfy);
  });

for (const optimised of [true, false])
  test(`the package runs in two tabs of Vite's dev server, ${optimised ? "optimised" : "excluded from optimising"}`, async ({
    comfy,
    context,
    makeApp,
  }) => {
    const app = makeApp();
    app.write({
      "index.html": '<!doctype html><script type="module" src="/main.js"></script>',
      "main.js": readmeExample(comfy.url),
    });
    const server = await createServer({
      root: app.folder,
      configFile: false,
      logLevel: "error",
      server: { port: 0, host: "127.0.0.1" },
      optimizeDeps: optimised ? {} : { exclude: ["comfy-tabs"] },
    });
    await server.listen();
    try {
      await expectTwoTabs(context, server.resolvedUrls?.local[0] ?? "", comfy);
    } finally {
      await server.close();
    }
  });
