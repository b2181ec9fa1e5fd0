/** Builds the package into `dist/`: types, the client, the worker as one self-contained file, the simulator. */
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { minify } from "terser";
import { build } from "vite";

rmSync("dist", { recursive: true, force: true });
execFileSync("npx", ["tsc", "-b"], { stdio: "inherit" });
for (const folder of ["comfy", "protocol", "core", "worker", "client", "simulator"])
  cpSync(`build/types/${folder}`, `dist/types/${folder}`, {
    recursive: true,
    filter: (path) => !path.endsWith(".tsbuildinfo"),
  });

for (const entry of ["index", "worker", "simulator"]) {
  process.env.ENTRY = entry;
  await build({ configFile: "vite.lib.config.ts", logLevel: "warn" });
}

// Vite leaves the whitespace of ES libraries, for the sake of annotations that these files do not have.
for (const entry of ["index", "worker"]) {
  const file = `dist/${entry}.js`;
  const { code } = await minify(readFileSync(file, "utf8"), {
    module: true,
    ecma: 2020,
    compress: { passes: 3, pure_getters: true, unsafe_arrows: true },
  });
  writeFileSync(file, `${code}\n`);
}

for (const entry of ["index", "worker"])
  console.log(`dist/${entry}.js  ${kB(readFileSync(`dist/${entry}.js`))} gzip`);

function kB(bytes) {
  return `${(gzipSync(bytes, { level: 9 }).length / 1000).toFixed(2)} kB`;
}
