/** Builds the package into `dist/`: types, the client, the worker as one self-contained file, the simulator. */
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";
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

for (const entry of ["index", "worker"])
  console.log(`dist/${entry}.js  ${kB(readFileSync(`dist/${entry}.js`))} gzip`);

function kB(bytes) {
  return `${(gzipSync(bytes, { level: 9 }).length / 1000).toFixed(2)} kB`;
}
