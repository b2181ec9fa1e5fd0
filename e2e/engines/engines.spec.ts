import { test as base } from "@playwright/test";
import { build, preview } from "vite";
import { findBrowser } from "../../scripts/browsers.mjs";
import type { HostMode } from "../../src/protocol/session-api.ts";
import { type Simulator, startSimulator } from "../../src/simulator/http-server.ts";
import { type Engine, type EngineName, insecureHost, type Profile } from "./engine.ts";
import { launchByPlaywright } from "./playwright-engine.ts";
import { type Place, scenarios } from "./scenarios.ts";
import { takeSeat } from "./seat.ts";
import { launchWebKitGtk } from "./webkitgtk-engine.ts";

export interface EngineOption {
  readonly engineName: EngineName;
}

const test = base.extend<
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
        preview: { port: 0, host: "127.0.0.1", allowedHosts: [insecureHost] },
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

const modes: readonly HostMode[] = ["shared", "solo"];
const hosts: Record<Place, string> = { secure: "127.0.0.1", insecure: insecureHost };

for (const place of Object.keys(hosts) as Place[])
  for (const mode of modes)
    test.describe(`${place}: a tab in ${mode} mode`, () => {
      for (const { name, run, needs, isShort, holdsIn } of scenarios) {
        if (holdsIn && !holdsIn(mode, place)) continue;
        const tag = isShort ? ["@short"] : [];
        test(name, { tag }, async ({ engineName, profile, comfy, port }) => {
          // Only Chromium's driver can crash a tab; the README's support table says so.
          test.skip(needs === "crash" && engineName !== "chromium", "this engine's tabs cannot be crashed");
          const url = `http://${hosts[place]}:${port}/e2e/pages/engine.html`;
          await run({
            mode,
            place,
            comfy,
            async open({ copyOf, ...options } = {}) {
              return takeSeat(
                profile,
                url,
                { servers: [comfy.url], mode, ...options },
                await copyOf?.storage(),
              );
            },
          });
        });
      }
    });
