import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "@playwright/test";
import { journalName, workerName } from "../src/protocol/names.ts";
import { test as base, expect } from "./fixtures.ts";
import type {} from "./pages/journal.ts";
import { portrait } from "./workflows.ts";

interface Profile {
  /** Starts a browser in this profile; what it stores is on the disk, unlike in Playwright's usual contexts. */
  start(): Promise<{ context: BrowserContext; page: Page }>;
}

const test = base.extend<{ profile: Profile }>({
  profile: async ({ site, launchOptions }, use) => {
    const folder = await mkdtemp(join(tmpdir(), "comfy-tabs-profile-"));
    const started: BrowserContext[] = [];
    await use({
      async start() {
        const context = await chromium.launchPersistentContext(folder, launchOptions);
        started.push(context);
        const page = await context.newPage();
        await page.goto(`${site}e2e/pages/journal.html`);
        await page.waitForFunction(() => window.journal !== undefined);
        return { context, page };
      },
    });
    for (const context of started) await context.close();
    await rm(folder, { recursive: true, force: true });
  },
});

test("the journal keeps its contract in the browser's own IndexedDB", async ({ profile }) => {
  const { page } = await profile.start();
  const clauses = await page.evaluate(() => window.journal.clauses);
  expect(clauses.length).toBeGreaterThan(5);
  for (const clause of clauses)
    expect(await page.evaluate((given) => window.journal.check(given), clause), clause).toBeUndefined();
});

test("entries survive the end of the browser, also its crash", async ({ profile }) => {
  const first = await profile.start();
  await first.page.evaluate(async () => {
    const journal = window.journal.open("atelier");
    await journal.write(window.journal.newEntry({ label: "mine" }), true);
    await journal.write(window.journal.newEntry({ label: "mine", accepted: true, seq: 7 }), false);
  });
  await first.context.close();

  const claim = (page: Page) =>
    page.evaluate(async () => {
      const entries = await window.journal.open("atelier").claim("tab-anna", "secret-anna");
      return entries.map(({ taskId, label, seq, generation }) => ({ taskId, label, seq, generation }));
    });
  const second = await profile.start();
  expect(await claim(second.page)).toEqual([{ taskId: "portrait", label: "mine", seq: 7, generation: 2 }]);
  const ended = new Promise((resolve) => second.context.on("close", resolve));
  const cdp = await second.context.newCDPSession(second.page);
  // The answer never comes: the browser is gone.
  cdp.send("Browser.crash").catch(() => {});
  await ended;

  const third = await profile.start();
  expect(await claim(third.page)).toEqual([{ taskId: "portrait", label: "mine", seq: 7, generation: 3 }]);
  expect(await third.page.evaluate(() => window.journal.degraded)).toEqual([]);
});

test("a journal whose database somebody deletes lets go of it, and goes on in memory", async ({
  profile,
}) => {
  const { page } = await profile.start();
  const found = await page.evaluate(async () => {
    const { open, newEntry, remove, degraded } = window.journal;
    const journal = open("atelier");
    await journal.write(newEntry(), true);
    await remove("atelier");
    const outcome = await journal.write(newEntry({ seq: 1 }), false);
    return { outcome, kind: journal.kind, degraded };
  });
  expect(found).toEqual({ outcome: "written", kind: "memory", degraded: ["the database is being deleted"] });
});

test("a journal whose site data is cleared goes on in memory", async ({ profile, site }) => {
  const { page, context } = await profile.start();
  await page.evaluate(async () => {
    const { open, newEntry } = window.journal;
    await open("atelier").write(newEntry(), true);
  });
  const cdp = await context.newCDPSession(page);
  await cdp.send("Storage.clearDataForOrigin", { origin: new URL(site).origin, storageTypes: "indexeddb" });
  await expect.poll(() => page.evaluate(() => window.journal.degraded.length)).toBe(1);
});

test("the host in the worker journals in IndexedDB, under the app's name", async ({ openTab }) => {
  const anna = await openTab({ name: "atelier" });
  // No prompt is sent before it is in the journal: until then its database may still be opening.
  await anna.ending(await anna.submit(portrait()));
  const found = await anna.page.evaluate(async () => ({
    journal: (await window.tab.session().diagnostics()).journal,
    names: (await indexedDB.databases()).map(({ name }) => name),
  }));
  expect(found).toEqual({ journal: "indexeddb", names: [journalName(workerName("atelier"))] });
});
