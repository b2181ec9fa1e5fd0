import { defineConfig } from "@playwright/test";
import { chromiumArgs } from "./e2e/chromium-args.ts";
import type { WorkerFixtures } from "./e2e/fixtures.ts";
import { findChromium } from "./scripts/chromium.mjs";

const executablePath = findChromium();

/**
 * Real tabs in a real Chromium. One worker: the tests count sockets, and two cores are enough for one browser.
 * The tabs talk to a simulator, or with `COMFYUI_URL` to a real ComfyUI that has the nodes of `workflows.ts`.
 */
export default defineConfig<object, WorkerFixtures>({
  testDir: "e2e",
  testMatch: "**/*.spec.ts",
  testIgnore: "**/e2e/engines/**",
  outputDir: "build/e2e-results",
  workers: 1,
  fullyParallel: false,
  timeout: 60_000,
  reporter: [["list"]],
  use: {
    browserName: "chromium",
    launchOptions: {
      ...(executablePath ? { executablePath } : {}),
      args: chromiumArgs,
    },
  },
  projects: [
    { name: "built", use: { served: "built" } },
    // The worker is another file there, loaded in another way: a few tests show that it works.
    { name: "dev", use: { served: "dev" }, grep: /@dev/ },
  ],
});
