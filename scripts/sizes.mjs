/**
 * What an app's users load, compressed: the worker, and what the tab's side adds to an app's own bundle. Fails
 * above the limits, so that growth is a decision: whoever needs more raises them here, in a commit that says why.
 */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const limits = { worker: 35.1, tab: 13.5, react: 1, vue: 1, compat: 3.2, debug: 1.5 };

const sizes = {
  worker: kB(readFileSync("dist/worker.js")),
  tab: kB(await tabSide()),
  // Beside the client, which they import, and the framework.
  react: kB(readFileSync("dist/react.js")),
  vue: kB(readFileSync("dist/vue.js")),
  compat: kB(readFileSync("dist/compat.js")),
  debug: kB(readFileSync("dist/debug.js")),
};

for (const [part, size] of Object.entries(sizes))
  console.log(`${part.padEnd(7)} ${size.toFixed(2)} kB gzip, at most ${limits[part].toFixed(2)} kB`);
if (Object.entries(sizes).some(([part, size]) => size > limits[part])) {
  console.error("Larger than the limits in scripts/sizes.mjs.");
  process.exit(1);
}

/** `dist/index.js` as an app gets it: with nanoid, bundled and minified. The worker is a file of its own. */
async function tabSide() {
  const { output } = await build({
    configFile: false,
    publicDir: false,
    logLevel: "warn",
    build: {
      write: false,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: { input: "dist/index.js", preserveEntrySignatures: "strict" },
    },
  });
  return output.find((file) => file.type === "chunk" && file.isEntry).code;
}

function kB(code) {
  return gzipSync(code, { level: 9 }).length / 1000;
}
