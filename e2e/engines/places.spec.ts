import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Frame, type Page } from "@playwright/test";
import { findBrowser } from "../../scripts/browsers.mjs";
import type { Diagnostics } from "../../src/client/index.ts";
import type { AskFrame, FrameSays } from "../pages/framed.ts";
import { portrait } from "../workflows.ts";
import type { EngineTab } from "./engine.ts";
import { test as base, expect } from "./fixtures.ts";
import { launchByPlaywright } from "./playwright-engine.ts";

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

/** Puts a frame into the page, lets it connect and run a task, and tells what came of it. */
function askFrame(tab: EngineTab, address: string, ask: AskFrame, sandbox?: string): Promise<FrameSays> {
  return tab.evaluate(
    (given) =>
      new Promise<FrameSays>((resolve) => {
        const frame = document.createElement("iframe");
        if (given.sandbox !== undefined) frame.setAttribute("sandbox", given.sandbox);
        frame.src = given.address;
        addEventListener("message", ({ data, source }) => {
          if (source !== frame.contentWindow) return;
          if (data === "there") frame.contentWindow?.postMessage(given.ask, "*");
          else resolve(data);
        });
        document.body.append(frame);
      }),
    { address, ask, ...(sandbox === undefined ? {} : { sandbox }) },
  );
}

const asUsual = { diagnostics: { mode: "shared", journal: "indexeddb", locks: true }, ending: "succeeded" };
const alone = {
  diagnostics: { mode: "solo", reason: expect.any(String), journal: "memory", locks: false },
  ending: "succeeded",
};

const framed = (host: string, port: number): string => `http://${host}:${port}/e2e/pages/framed.html`;
const outer = (port: number): string => `http://127.0.0.1:${port}/e2e/pages/engine.html`;

test("a sandboxed frame is told at once that it has no worker, and works alone where one of its own loads", async ({
  engineName,
  profile,
  comfy,
  port,
}) => {
  const tab = await profile.open(outer(port));
  const ask = { server: comfy.url, workflow: portrait() };
  const inFrame = (worker?: "blob"): Promise<FrameSays> =>
    askFrame(tab, framed("127.0.0.1", port), { ...ask, ...(worker ? { worker } : {}) }, "allow-scripts");
  expect(await inFrame()).toEqual({ code: "unsupported-environment" });
  const works = { diagnostics: { mode: "solo", journal: "memory", locks: false }, ending: "succeeded" };
  // Chromium loads no module there.
  expect(await inFrame("blob")).toEqual(
    engineName === "chromium" ? { code: "unsupported-environment" } : works,
  );
});

test("a frame in a page of another site has a host that it shares with frames like itself, or one of its own", async ({
  engineName,
  profile,
  comfy,
  port,
}) => {
  const tab = await profile.open(outer(port));
  const ask = { server: comfy.url, workflow: portrait() };
  // Chromium's windows under test are private ones, which store nothing for third parties.
  const shares = engineName !== "chromium";
  for (const nth of [1, 2])
    expect(await askFrame(tab, framed("localhost", port), ask), `frame ${nth}`).toEqual(
      shares ? asUsual : alone,
    );
  expect(comfy.sockets).toHaveLength(shares ? 1 : 2);
});

for (const [what, preferences, own, ofAnotherSite] of [
  ["stores nothing", { "network.cookie.cookieBehavior": 2 }, alone, alone],
  ["stores nothing for third parties", { "network.cookie.cookieBehavior": 1 }, asUsual, alone],
  ["opens private windows only", { "browser.privatebrowsing.autostart": true }, asUsual, asUsual],
] as const)
  test(`a Firefox that ${what} has tasks done, and says how`, async ({ engineName, comfy, port }) => {
    // The other engines' drivers cannot set them; the README's support table says what was tried where.
    test.skip(engineName !== "firefox", "the preferences are Firefox's");
    test.setTimeout(180_000);
    const engine = await launchByPlaywright("firefox", preferences);
    const tab = await (await engine.newProfile()).open(outer(port));
    const ask = { server: comfy.url, workflow: portrait() };
    expect(await askFrame(tab, framed("127.0.0.1", port), ask)).toEqual(own);
    expect(await askFrame(tab, framed("localhost", port), ask)).toEqual(ofAnotherSite);
    await engine.close();
  });

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
