import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";

const root = fileURLToPath(new URL(".", import.meta.url));
const { version } = JSON.parse(readFileSync(resolve(root, "package.json"), "utf8")) as { version: string };

/** Whether pages are to get the client and the worker as they are published, from `dist/`, minified and all. */
const published = process.env.PUBLISHED !== undefined;

/**
 * In the package, `dist/worker.js` lies beside `dist/index.js`, and the client says so in the one form that
 * bundlers follow: `new URL("./worker.js", import.meta.url)`. In the source tree the worker is elsewhere.
 */
const workerEntry = (): Plugin => ({
  name: "comfy-tabs:worker-entry",
  enforce: "pre",
  resolveId: (id) =>
    published && id.endsWith("/src/client/index.ts") ? resolve(root, "dist/index.js") : undefined,
  transform(code, id) {
    if (!id.replaceAll("\\", "/").includes("/src/client/")) return undefined;
    return code.replaceAll(
      'new URL("./worker.js", import.meta.url)',
      `new URL("../../${published ? "../dist/worker.js" : "worker/main.ts"}", import.meta.url)`,
    );
  },
});

/** The demo, from the source tree: `npm start` serves it, `vite build` bundles it for the browser tests. */
export default defineConfig({
  root,
  base: "./",
  plugins: [workerEntry()],
  define: { __COMFY_TABS_BUILD__: JSON.stringify(version) },
  worker: { format: "es" },
  server: { host: "127.0.0.1" },
  preview: { host: "127.0.0.1" },
  build: {
    outDir: "build/site",
    emptyOutDir: true,
    target: "es2022",
    rollupOptions: {
      input: [
        "index.html",
        "e2e/pages/tab.html",
        "e2e/pages/journal.html",
        "e2e/pages/chaos.html",
        "e2e/pages/engine.html",
        "e2e/pages/framed.html",
      ]
        .map((page) => resolve(root, page))
        .filter((page) => existsSync(page)),
    },
  },
});
