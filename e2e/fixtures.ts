import { type BrowserContext, test as base, type Page } from "@playwright/test";
import { build, createServer, preview } from "vite";
import { type Abilities, abilities, readVersion } from "../src/comfy/versions.ts";
import { type Simulator, type SimulatorOptions, startSimulator } from "../src/simulator/http-server.ts";
import { insecureHost } from "./engines/engine.ts";
import type {} from "./pages/tab.ts";

/** One page under test, driven from outside. */
export interface Tab {
  readonly page: Page;
  readonly tabId: string;
  submit(workflow: unknown, options?: { server?: string; label?: string }): Promise<string>;
  ending(
    taskId: string,
  ): Promise<{ type: string; code?: string; outputs?: unknown; files?: { url: string }[] }>;
  heard(): Promise<{ taskId: string; type: string; seq: number; detail?: unknown }[]>;
}

export interface OpenOptions {
  readonly name?: string;
  readonly servers?: readonly (string | object)[];
  readonly context?: BrowserContext;
}

/** What the tabs talk to: a simulator of this test's own, or the ComfyUI at `COMFYUI_URL`. */
export interface ServerUnderTest {
  readonly url: string;
  readonly abilities: Abilities;
  /** Its log is the truth about requests and sockets. A real server keeps none. */
  readonly simulator: Simulator | undefined;
}

export interface Fixtures {
  readonly server: ServerUnderTest;
  /** For tests that read the simulator's log or make it fail; with a real server they are skipped. */
  readonly comfy: Simulator;
  readonly startComfy: (options?: SimulatorOptions) => Promise<Simulator>;
  readonly openTab: (options?: OpenOptions) => Promise<Tab>;
}

export interface WorkerFixtures {
  /** How the pages are served: by the dev server from the source tree, or as the built bundle. */
  readonly served: "dev" | "built";
  readonly site: string;
}

const realUrl = process.env.COMFYUI_URL?.replace(/\/+$/, "") || undefined;
const needsSimulator =
  "A real ComfyUI keeps no log of its sockets and requests, and does not fail on demand.";

export const test = base.extend<Fixtures, WorkerFixtures>({
  served: ["built", { option: true, scope: "worker" }],
  site: [
    async ({ served }, use) => {
      if (served === "dev") {
        const server = await createServer({
          logLevel: "error",
          server: { port: 0, host: "127.0.0.1", hmr: false },
        });
        await server.listen();
        await use(server.resolvedUrls?.local[0] ?? "");
        await server.close();
      } else {
        await build({ logLevel: "error" });
        const server = await preview({
          logLevel: "error",
          preview: { port: 0, host: "127.0.0.1", allowedHosts: [insecureHost] },
        });
        await use(server.resolvedUrls?.local[0] ?? "");
        await new Promise((closed) => server.httpServer.close(closed));
      }
    },
    { scope: "worker" },
  ],
  startComfy: async ({ browserName: _ }, use) => {
    const started: Simulator[] = [];
    await use(async (options) => {
      base.skip(realUrl !== undefined, needsSimulator);
      const simulator = await startSimulator({ speed: 1, ...options });
      started.push(simulator);
      return simulator;
    });
    for (const simulator of started) await simulator.close();
  },
  server: async ({ startComfy }, use) => {
    const simulator = realUrl === undefined ? await startComfy() : undefined;
    const url = simulator?.url ?? realUrl ?? "";
    const stats = await fetch(`${url}/system_stats`);
    await use({ url, simulator, abilities: abilities(readVersion(await stats.text())) });
  },
  comfy: async ({ server: { simulator } }, use) => {
    base.skip(simulator === undefined, needsSimulator);
    await use(simulator as Simulator);
  },
  openTab: async ({ context, site, server }, use) => {
    await use(async ({ name, servers = [server.url], context: own = context } = {}) => {
      const page = await own.newPage();
      await page.goto(`${site}e2e/pages/tab.html`);
      await page.waitForFunction(() => window.tab !== undefined);
      const options = { servers, ...(name === undefined ? {} : { name }) };
      const { tabId } = await page.evaluate((given) => window.tab.open(given as never), options);
      return tabOn(page, tabId);
    });
  },
});

export function tabOn(page: Page, tabId: string): Tab {
  return {
    page,
    tabId,
    submit: (workflow, options) =>
      page.evaluate(([given, how]) => window.tab.submit(given, how), [workflow, options] as const),
    ending: (taskId) => page.evaluate((id) => window.tab.ending(id), taskId) as ReturnType<Tab["ending"]>,
    heard: () => page.evaluate(() => window.tab.heard()),
  };
}

export { expect } from "@playwright/test";
