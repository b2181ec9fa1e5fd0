import { type BrowserContext, test as base, type Page } from "@playwright/test";
import { createServer, preview } from "vite";
import { type Simulator, type SimulatorOptions, startSimulator } from "../src/simulator/http-server.ts";
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

interface Fixtures {
  readonly comfy: Simulator;
  readonly startComfy: (options?: SimulatorOptions) => Promise<Simulator>;
  readonly openTab: (options?: OpenOptions) => Promise<Tab>;
}

interface WorkerFixtures {
  /** How the pages are served: by the dev server from the source tree, or as the built bundle. */
  readonly served: "dev" | "built";
  readonly site: string;
}

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
        const server = await preview({ logLevel: "error", preview: { port: 0, host: "127.0.0.1" } });
        await use(server.resolvedUrls?.local[0] ?? "");
        await new Promise((closed) => server.httpServer.close(closed));
      }
    },
    { scope: "worker" },
  ],
  startComfy: async ({ browserName: _ }, use) => {
    const started: Simulator[] = [];
    await use(async (options) => {
      const simulator = await startSimulator({ speed: 1, ...options });
      started.push(simulator);
      return simulator;
    });
    for (const simulator of started) await simulator.close();
  },
  comfy: async ({ startComfy }, use) => {
    await use(await startComfy());
  },
  openTab: async ({ context, site, comfy }, use) => {
    await use(async ({ name, servers = [comfy.url], context: own = context } = {}) => {
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
