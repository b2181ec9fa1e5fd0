import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Frame, type Page } from "@playwright/test";
import { findBrowser } from "../../scripts/browsers.mjs";
import type { Diagnostics } from "../../src/client/index.ts";
import { portrait } from "../workflows.ts";
import { test as base, expect } from "./fixtures.ts";

interface Restricted {
  /** A window of a Chromium whose user has these preferences. */
  readonly openWindow: (preferences?: object) => Promise<Page>;
}

const test = base.extend<Restricted>({
  openWindow: async ({ engineName }, use) => {
    base.skip(engineName !== "chromium", "other browsers keep their users' choices elsewhere");
    const executablePath = findBrowser("chromium");
    const ends: (() => Promise<unknown>)[] = [];
    await use(async (preferences = {}) => {
      const profile = await mkdtemp(join(tmpdir(), "comfy-tabs-place-"));
      ends.unshift(() => rm(profile, { recursive: true, force: true }));
      await mkdir(join(profile, "Default"));
      await writeFile(join(profile, "Default", "Preferences"), JSON.stringify({ profile: preferences }));
      const context = await chromium.launchPersistentContext(profile, {
        ...(executablePath ? { executablePath } : {}),
        args: ["--no-sandbox", "--disable-gpu"],
      });
      ends.unshift(() => context.close());
      return context.newPage();
    });
    for (const end of ends) await end();
  },
});

const blockSiteData = { default_content_setting_values: { cookies: 2 } };
const allowThirdParty = { cookie_controls_mode: 0, block_third_party_cookies: false };
const blockThirdParty = { cookie_controls_mode: 1, block_third_party_cookies: true };

async function connectIn(where: Page | Frame, server: string): Promise<Diagnostics> {
  await where.waitForFunction(() => window.engine !== undefined);
  return where.evaluate(async (url) => {
    await window.engine.open({ servers: [url] });
    return window.engine.session().diagnostics();
  }, server);
}

async function worksIn(where: Page | Frame): Promise<void> {
  const task = await where.evaluate((graph) => window.engine.submit(graph, "portrait"), portrait());
  await expect
    .poll(() => where.evaluate((id) => window.engine.session().task(id)?.status, task))
    .toBe("succeeded");
}

async function frameIn(page: Page, address: string): Promise<Frame> {
  const attached = page.waitForEvent("frameattached");
  await page.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
  }, address);
  return attached;
}

test("a page that may store nothing works, alone and with its journal in memory, and says so", async ({
  openWindow,
  comfy,
  port,
}) => {
  const page = await openWindow(blockSiteData);
  await page.goto(`http://127.0.0.1:${port}/e2e/pages/engine.html`);
  const refused = page.evaluate(() => sessionStorage.length);
  await expect(refused).rejects.toThrow("SecurityError");
  expect(await connectIn(page, comfy.url)).toMatchObject({
    mode: "solo",
    reason: expect.any(String),
    journal: "memory",
  });
  await worksIn(page);
});

for (const [cookies, preferences, expected] of [
  ["allowed", allowThirdParty, { mode: "shared", journal: "indexeddb", locks: true }],
  ["refused", blockThirdParty, { mode: "solo", reason: expect.any(String), journal: "memory", locks: false }],
] as const)
  test(`a frame in a page of another site works where third-party cookies are ${cookies}`, async ({
    openWindow,
    comfy,
    port,
  }) => {
    const page = await openWindow(preferences);
    await page.goto(`http://127.0.0.1:${port}/e2e/pages/engine.html`);
    const frame = await frameIn(page, `http://localhost:${port}/e2e/pages/engine.html`);
    expect(await connectIn(frame, comfy.url)).toMatchObject(expected);
    await worksIn(frame);
  });
