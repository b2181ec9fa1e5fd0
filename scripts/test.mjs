/**
 * Everything that must hold, in the order in which it is cheap to fail: types and style, units and contracts,
 * the package, and real tabs in a real browser. `npm test -- unit` runs the named parts only.
 */
import { spawnSync } from "node:child_process";
import { provideChromium } from "./chromium.mjs";

const parts = {
  check: ["npx", "tsc", "-b"],
  lint: ["npx", "biome", "check", "."],
  unit: ["npx", "vitest", "run"],
  build: ["node", "scripts/build.mjs"],
  e2e: ["npx", "playwright", "test"],
};

const named = process.argv.slice(2);
const unknown = named.find((name) => !(name in parts));
if (unknown) {
  console.error(`No part "${unknown}". There are: ${Object.keys(parts).join(", ")}.`);
  process.exit(1);
}

for (const [name, [command, ...args]] of Object.entries(parts)) {
  if (named.length > 0 && !named.includes(name)) continue;
  if (name === "e2e") process.env.CHROMIUM = provideChromium();
  console.log(`\n── ${name} ──`);
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
