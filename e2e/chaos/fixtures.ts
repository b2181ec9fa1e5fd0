import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "@playwright/test";
import { test as base } from "../fixtures.ts";
import { type ChaosBrowser, type ChaosTab, startBrowser } from "./browser.ts";
import { type FaultyProxy, startProxy } from "./proxy.ts";

export interface ChaosFixtures {
  /** Before the server, for everything that the pages of this test say to it. */
  readonly network: FaultyProxy;
  /** The folder in which the browsers of this test keep what they store. */
  readonly profile: string;
  /** Starts a browser in that one profile. */
  readonly startChromium: () => Promise<ChaosBrowser>;
  readonly chaos: ChaosBrowser;
  /** The page under test, with the server behind the proxy. */
  readonly address: string;
  /** Opens it, and waits until it has connected. */
  readonly openChaosTab: (more?: { cancelAfterMs?: number; deadPorts?: number }) => Promise<ChaosTab>;
}

export const test = base.extend<ChaosFixtures>({
  network: async ({ server }, use) => {
    const proxy = await startProxy(server.url);
    await use(proxy);
    await proxy.close();
  },
  profile: async ({ browserName: _ }, use) => {
    const profile = await mkdtemp(join(tmpdir(), "comfy-tabs-chaos-"));
    await use(profile);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  },
  startChromium: async ({ launchOptions, profile }, use) => {
    const started: ChaosBrowser[] = [];
    await use(async () => {
      const browser = await startBrowser(launchOptions.executablePath ?? chromium.executablePath(), profile);
      started.push(browser);
      return browser;
    });
    for (const browser of started) await browser.kill();
  },
  chaos: async ({ startChromium }, use) => use(await startChromium()),
  address: async ({ site, network }, use) => {
    await use(`${site}e2e/pages/chaos.html?server=${encodeURIComponent(network.url)}`);
  },
  openChaosTab: async ({ chaos, address }, use) => {
    await use(async (more = {}) => {
      const wanted = Object.entries(more).map(([name, value]) => `&${name}=${value}`);
      const tab = await chaos.open(address + wanted.join(""));
      await tab.ready();
      return tab;
    });
  },
});

export { expect } from "@playwright/test";
