import { defineConfig } from "@playwright/test";
import { isThere } from "../../scripts/browsers.mjs";
import type { EngineName } from "./engine.ts";
import type { EngineOption } from "./engines.spec.ts";

const engines: readonly EngineName[] = ["chromium", "firefox", "webkit"];

/** The same scenarios in every engine that is there: `npm run test:engines`. */
export default defineConfig<object, EngineOption>({
  testDir: ".",
  outputDir: "../../build/engines-results",
  workers: 1,
  fullyParallel: false,
  timeout: 60_000,
  reporter: [["list"]],
  projects: engines.filter(isThere).map((engineName) => ({ name: engineName, use: { engineName } })),
});
