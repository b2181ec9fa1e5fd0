/**
 * Everything that must hold, in the order in which it is cheap to fail: types and style, units and contracts,
 * simulated worlds, the package, and real tabs in a real browser. `npm test -- unit e2e` runs the named parts only.
 */
import { spawnSync } from "node:child_process";
import { provide } from "./browsers.mjs";
import { provideChromium } from "./chromium.mjs";

const parts = {
  types: ["npx tsc -b"],
  lint: ["npx biome check ."],
  unit: ["npx vitest run"],
  simulate: [
    "node scripts/simulate.mjs --steps 8000000 --pairs 100",
    "node scripts/simulate.mjs --steps 1000000 --size crowded",
  ],
  package: [
    "node scripts/build.mjs",
    "node scripts/sizes.mjs",
    "npx publint --strict",
    "npx attw --pack . --profile esm-only --format ascii --quiet",
  ],
  e2e: [
    "npx vite build --logLevel warn",
    "npx playwright test many-tabs many-servers server-locks access hostile-tab journal mixed-load package compat.spec examples upgrading",
  ],
  engines: ["npx playwright test -c e2e/engines/playwright.config.ts --grep @short"],
  bundlers: ["npx playwright test bundlers.spec --project built --grep @short"],
  faults: ["npx playwright test faults.spec"],
  chaos: ["npx playwright test chaos.spec"],
  "all-bundlers": ["npx playwright test bundlers.spec --project built"],
};

const named = process.argv.slice(2);
const unknown = named.find((name) => !(name in parts));
if (unknown) {
  console.error(`No part "${unknown}". There are: ${Object.keys(parts).join(", ")}.`);
  process.exit(1);
}

const wanted = named.length > 0 ? named : Object.keys(parts).filter((name) => name !== "all-bundlers");
if (wanted.includes("engines")) for (const name of ["chromium", "firefox", "webkit"]) provide(name); // the tests say which is not there
if (["e2e", "faults", "chaos", "bundlers", "all-bundlers"].some((name) => wanted.includes(name)))
  process.env.CHROMIUM = provideChromium();

// What was just built is what the browser's tests load.
if (wanted.includes("package")) process.env.PUBLISHED = "1";

for (const [name, commands] of Object.entries(parts)) {
  if (!wanted.includes(name)) continue;
  const startedAt = performance.now();
  console.log(`\n── ${name} ──`);
  for (const command of commands) {
    const [program, ...args] = command.split(" ");
    const { status } = spawnSync(program, args, { stdio: "inherit" });
    if (status !== 0) {
      console.error(`\n── ${name} failed: ${command} ──`);
      process.exit(status ?? 1);
    }
  }
  console.log(`── ${name}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s ──`);
}
