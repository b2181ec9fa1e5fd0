import { test as base } from "@playwright/test";
import { build, preview } from "vite";
import { findBrowser } from "../../scripts/browsers.mjs";
import { type Simulator, startSimulator } from "../../src/simulator/http-server.ts";
import { type Engine, type EngineName, insecureHost, type Profile } from "./engine.ts";
import { launchByPlaywright } from "./playwright-engine.ts";
import { launchWebKitGtk } from "./webkitgtk-engine.ts";

export interface EngineOption {
  readonly engineName: EngineName;
}

export const test = base.extend<
  { profile: Profile; comfy: Simulator },
  EngineOption & { engine: Engine; port: number }
>({
  engineName: ["chromium", { option: true, scope: "worker" }],
  engine: [
    async ({ engineName }, use) => {
      const engine =
        engineName === "webkit" && !findBrowser("webkit")
          ? await launchWebKitGtk()
          : await launchByPlaywright(engineName);
      console.log(`  ${engineName} ${engine.version}`);
      await use(engine);
      await engine.close();
    },
    { scope: "worker", timeout: 120_000 },
  ],
  port: [
    async ({ browserName: _ }, use) => {
      await build({ logLevel: "error" });
      const server = await preview({
        logLevel: "error",
        // A sandboxed frame has an origin of its own, which is no host's, and loads its scripts from elsewhere.
        preview: { port: 0, host: "127.0.0.1", allowedHosts: [insecureHost], cors: { origin: "*" } },
      });
      await use(Number(new URL(server.resolvedUrls?.local[0] ?? "").port));
      await new Promise((closed) => server.httpServer.close(closed));
    },
    { scope: "worker", timeout: 120_000 },
  ],
  profile: async ({ engine }, use) => {
    const profile = await engine.newProfile();
    await use(profile);
    await profile.close();
  },
  comfy: async ({ browserName: _ }, use) => {
    const simulator = await startSimulator({ speed: 1 });
    await use(simulator);
    await simulator.close();
  },
});

export { expect } from "@playwright/test";
