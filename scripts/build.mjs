/** Builds the package into `dist/`: types, client, worker (one self-contained file), bindings, simulator, command. */
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { minify } from "terser";
import { build, minifySync } from "vite";
import { mangledNames } from "./mangled-names.mjs";

rmSync("dist", { recursive: true, force: true });
execFileSync("npx", ["tsc", "-b"], { stdio: "inherit" });
for (const folder of ["comfy", "protocol", "core", "worker", "client", "simulator"])
  cpSync(`build/types/${folder}`, `dist/types/${folder}`, {
    recursive: true,
    filter: (path) => !path.endsWith(".tsbuildinfo"),
  });

for (const entry of [
  "index",
  "standalone",
  "worker",
  "react",
  "vue",
  "compat",
  "debug",
  "simulator",
  "cli",
]) {
  process.env.ENTRY = entry;
  await build({ configFile: "vite.lib.config.ts", logLevel: "warn" });
}

// Vite leaves the whitespace of ES libraries, for the sake of annotations that these files do not have.
const bundles = {
  index: "client",
  standalone: "client",
  worker: "worker",
  react: undefined,
  vue: undefined,
  compat: undefined,
  debug: undefined,
};
/** The first line has Chromium compile all of it while it loads: a new tab calls most of it, and would wait for each function. */
const clientHead =
  "//# allFunctionsCalledOnLoad\n/*! Contains Comlink, Copyright 2019 Google LLC, Apache-2.0 */\n";
for (const [entry, bundle] of Object.entries(bundles)) {
  const file = `dist/${entry}.js`;
  const ours = bundle && { regex: mangledNames(bundle), builtins: true };
  const { code } = await minify(readFileSync(file, "utf8"), {
    module: true,
    ecma: 2022,
    // Sequences are shorter, and larger when compressed.
    compress: { passes: 3, pure_getters: true, unsafe_arrows: true, sequences: false },
    mangle: { properties: ours ?? false },
  });
  writeFileSync(file, `${bundle === "client" ? clientHead : ""}${entry === "worker" ? again(code) : code}\n`);
}

/** Each minifier finds what the other has left. Not for the tab's side: bundlers look for a worker in the other's words. */
function again(code) {
  return minifySync("worker.js", code, {
    module: true,
    compress: { target: "es2022" },
    mangle: { toplevel: true },
  }).code;
}
