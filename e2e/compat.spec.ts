import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BrowserContext, Page } from "@playwright/test";
import { build, preview } from "vite";
import type { TaskAnnouncement } from "../src/client/compat/announce.ts";
import type { WindowReport } from "../src/client/debug/messages.ts";
import type { Simulator } from "../src/simulator/http-server.ts";
import { test as base, expect } from "./packaged/fixtures.ts";
import { portrait } from "./workflows.ts";

type Kind = "old" | "new";

interface Shown {
  readonly promptId: string;
  readonly kind: "progress" | "complete" | "error";
  readonly detail: unknown;
}

/** What `old-app/app.js` leaves for the tests, and what its modules leave for a console. */
interface OldApp {
  readonly app: {
    submit(prompt: object): Promise<string>;
    readonly shown: Shown[];
    removeWindowTask(promptId: string): boolean;
    unlock(): boolean;
    readonly windowId: string;
    clientId(): string;
    lockedServer(): string | null;
    tasks(): string[];
  };
  readonly pendingTasks: Map<string, unknown>;
  readonly heardOfOthers: TaskAnnouncement[];
  enableDebug(): Promise<() => void>;
  getWindowInfo(): object;
  debugTaskStatus(): { promptId: string; status: string }[];
  debugWebSocketLock(): { lockedServer: string | null; servers: { connection: string }[] };
  testMultiWindow(): Promise<WindowReport[]>;
  readonly testMultiWindowReport: Promise<WindowReport[]>;
}

declare const window: OldApp & { readonly location: Location };

const test = base.extend<{ openWindow: (kind: Kind) => Promise<Page> }, { oldSite: string }>({
  // The same app twice: with the old module, and with nothing changed but its import.
  oldSite: [
    async ({ packed }, use) => {
      const { folder: root, write, remove } = packed.app("e2e/old-app");
      const app = readFileSync("e2e/old-app/app.js", "utf8");
      const page = (script: string) =>
        `<!doctype html><output></output><script type="module" src="/${script}"></script>`;
      write({
        "new-app.js": app.replace("./window-client.js", "comfy-tabs/compat"),
        "old.html": page("app.js"),
        "new.html": page("new-app.js"),
      });
      cpSync("public/test-multi-window.js", join(root, "public/test-multi-window.js"));
      const vite = { root, configFile: false, logLevel: "error" } as const;
      const input = ["old.html", "new.html"].map((name) => join(root, name));
      await build({ ...vite, build: { target: "es2022", rolldownOptions: { input } } });
      const server = await preview({ ...vite, preview: { port: 0, host: "127.0.0.1" } });
      await use(server.resolvedUrls?.local[0] ?? "");
      await new Promise((closed) => server.httpServer.close(closed));
      remove();
    },
    { scope: "worker", timeout: 120_000 },
  ],
  openWindow: async ({ context, oldSite, comfy }, use) => {
    await use((kind) => openWindow(context, `${oldSite}${kind}.html?server=${comfy.url}`));
  },
});

async function openWindow(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  await ready(page);
  return page;
}

const ready = (page: Page) => page.waitForFunction(() => window.app !== undefined);
const submit = (page: Page, prompt: object) => page.evaluate((given) => window.app.submit(given), prompt);
const shown = (page: Page) => page.evaluate(() => window.app.shown);

interface Work {
  readonly prompts: readonly string[];
  readonly saw: readonly Shown[];
}

/** Two prompts of each window's own, and what it showed of them when both had ended. None runs before all are known. */
async function work(pages: readonly Page[], comfy: Simulator): Promise<Work[]> {
  comfy.hold({ after: "execution_start" });
  const tasks = await Promise.all(pages.map(submitTwo));
  comfy.release();
  return Promise.all(tasks.map(watch));
}

async function submitTwo(page: Page) {
  const tag = `window-${Math.floor(performance.now() * 1000)}`;
  const workflows = [0, 1].map(() => portrait({ steps: 8, delayMs: 60, tag }));
  return { page, tag, prompts: await Promise.all(workflows.map((workflow) => submit(page, workflow))) };
}

async function watch({ page, tag, prompts }: Awaited<ReturnType<typeof submitTwo>>): Promise<Work> {
  await expect
    .poll(async () => (await shown(page)).filter(({ kind }) => kind !== "progress").length, {
      timeout: 40_000,
    })
    .toBe(2);
  const saw = await shown(page);
  for (const { kind, detail } of saw) if (kind === "complete") expect(JSON.stringify(detail)).toContain(tag);
  return { prompts, saw };
}

function expectOwnOnly({ prompts, saw }: Work): void {
  expect(new Set(saw.map(({ promptId }) => promptId))).toEqual(new Set(prompts));
  expect(saw.filter(({ kind }) => kind === "complete")).toHaveLength(2);
  for (const prompt of prompts)
    expect(saw.some(({ promptId, kind }) => promptId === prompt && kind === "progress")).toBe(true);
}

test("an app of the old kind runs in four windows over one socket, with nothing changed but its import", async ({
  openWindow,
  comfy,
}) => {
  test.setTimeout(120_000);
  const pages = await Promise.all([1, 2, 3, 4].map(() => openWindow("new")));
  const worked = await work(pages, comfy);
  for (const one of worked) expectOwnOnly(one);
  expect(comfy.log.sockets).toHaveLength(1);
  const ids = await Promise.all(pages.map((page) => page.evaluate(() => window.app.windowId)));
  expect(new Set(ids).size).toBe(4);

  const [first, second] = pages as [Page, Page];
  expect(await first.evaluate(() => window.debugWebSocketLock())).toMatchObject({
    lockedServer: comfy.url,
    servers: [{ connection: "open" }],
  });
  await second.evaluate(() => window.app.unlock());
  expect(await first.evaluate(() => window.app.lockedServer())).toBe(comfy.url);
  expect(await second.evaluate(() => window.app.lockedServer())).toBeNull();

  comfy.hold({ after: "progress" });
  const open = await submit(first, portrait({ steps: 8, delayMs: 60 }));
  await expect.poll(async () => (await shown(first)).some(({ promptId }) => promptId === open)).toBe(true);
  await first.reload();
  await ready(first);
  // Those that have ended are reported anew, one after the other.
  await expect.poll(() => first.evaluate(() => [...window.pendingTasks.keys()])).toEqual([open]);
  comfy.release();
  await expect
    .poll(async () => (await shown(first)).filter(({ kind }) => kind === "complete").map((s) => s.promptId), {
      timeout: 30_000,
    })
    .toContain(open);
});

test("a check from the console has all windows submit that were opened for it, and no other", async ({
  openWindow,
}) => {
  test.setTimeout(120_000);
  const pages = await Promise.all([1, 2, 3, 4].map(() => openWindow("new")));
  const [first, second, third, fourth] = pages as [Page, Page, Page, Page];
  for (const page of [first, second, third]) await page.evaluate(() => window.enableDebug());
  const lines: string[] = [];
  fourth.on("console", (message) => lines.push(message.text()));
  const reports = await fourth.evaluate(async () => {
    await import(new URL("test-multi-window.js", window.location.href).href);
    return window.testMultiWindowReport;
  });
  const names = await Promise.all(
    [first, second, third].map((page) => page.evaluate(() => window.app.windowId)),
  );
  expect(reports.map(({ windowId }) => windowId).sort()).toEqual(names.sort());
  expect(reports.every(({ pass, prompts }) => pass && prompts.length === 3)).toBe(true);
  expect(lines.filter((line) => line.startsWith("🪟") && line.includes("pass"))).toHaveLength(3);
  expect(lines.at(-1)).toBe("📡 test-multi-window: pass, 3 windows");

  const all = await fourth.evaluate(() => window.testMultiWindow());
  expect(all.map(({ pass }) => pass)).toEqual([true, true, true, true]);

  await second.addScriptTag({ url: "test-multi-window.js" });
  const again = await second.evaluate(() => window.testMultiWindowReport);
  expect(again.map(({ pass }) => pass)).toEqual([true, true, true, true]);
});

test("windows of old and of new code are open side by side, and do not disturb each other", async ({
  openWindow,
  comfy,
}) => {
  test.setTimeout(120_000);
  const kinds: Kind[] = ["old", "new", "old", "new"];
  const pages: Page[] = [];
  for (const kind of kinds) pages.push(await openWindow(kind));
  const worked = await work(pages, comfy);
  for (const one of worked) expectOwnOnly(one);
  expect(comfy.log.sockets).toHaveLength(3);
  for (const [place, page] of pages.entries())
    expect(new Set(await page.evaluate(() => window.app.tasks()))).toEqual(new Set(worked[place]?.prompts));

  const [old, fresh] = pages as [Page, Page];
  const windowId = await fresh.evaluate(() => window.app.windowId);
  const clientId = await fresh.evaluate(() => window.app.clientId());
  const told = (await old.evaluate(() => window.heardOfOthers)).filter((one) => one.windowId === windowId);
  for (const promptId of worked[1]?.prompts ?? [])
    expect(told.filter((one) => one.promptId === promptId)).toEqual(
      ["registered", "running", "completed"].map((status) => ({
        type: `task_${status}`,
        windowId,
        clientId,
        promptId,
        status,
        timestamp: expect.any(Number),
      })),
    );
});
