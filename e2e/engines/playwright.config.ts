import { defineConfig } from "@playwright/test";
import { isThere } from "../../scripts/browsers.mjs";
import { engineNames } from "./engine.ts";
import type { EngineOption } from "./fixtures.ts";

/** The same scenarios in every engine that is there: `npm run test:engines`. */
export default defineConfig<object, EngineOption>({
  testDir: ".",
  outputDir: "../../build/engines-results",
  globalSetup: "./name-the-missing.ts",
  workers: 1,
  // One MiniBrowser in five hangs when it starts, also after the driver has tried again.
  retries: 1,
  fullyParallel: false,
  timeout: 60_000,
  reporter: [["list"]],
  projects: engineNames.filter(isThere).map((engineName) => ({ name: engineName, use: { engineName } })),
});
