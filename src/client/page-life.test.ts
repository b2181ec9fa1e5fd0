import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Task } from "./api.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { greeting, scriptedRealm } from "./testing/scripted.ts";
import { copyOf } from "./testing/storage.ts";
import { codeOf, isAt, kindsOf, workflow } from "./testing/task.ts";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
});

describe("a reload", () => {
  test("finds the tab's tasks as they are, and hears how they end", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const session = await page.connect();
    const { id } = await session.submit(workflow, { label: "mine" });
    await isAt(session.task(id), "queued");
    page.fire("pagehide", false);
    page.crash();
    const again = await browser.openPage(page.storage).connect();
    const task = again.task(id) as Task;
    expect([again.tabId, task.label, task.status]).toEqual([session.tabId, "mine", "queued"]);
    comfy.start(task.promptId ?? "");
    comfy.finish(task.promptId ?? "");
    expect(await kindsOf(task)).toEqual(["accepted", "started", "succeeded"]);
    expect((await task.result()).taskId).toBe(id);
  });

  test("finds them though a frame in the page has tasks of its own, and so does the frame", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const frame = browser.openPage(page.storage, { frame: "/0" });
    const inner = await frame.connect();
    const ids = await Promise.all([session, inner].map(async (one) => (await one.submit(workflow)).id));
    for (const one of [page, frame]) {
      one.fire("pagehide", false);
      one.crash();
    }
    const again = await browser.openPage(page.storage).connect();
    const innerAgain = await browser.openPage(page.storage, { frame: "/0" }).connect();
    expect([again.tabId, innerAgain.tabId]).toEqual([session.tabId, inner.tabId]);
    expect([again, innerAgain].map((one) => one.tasks().map(({ id }) => id))).toEqual([[ids[0]], [ids[1]]]);
  });

  test("together with the host's death leaves the tasks to be found at the server", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const { id } = await (await page.connect()).submit(workflow);
    await expect.poll(() => comfy.prompts.length).toBe(1);
    browser.killWorkers();
    page.crash();
    const task = (await browser.openPage(page.storage).connect()).task(id);
    await isAt(task, "running");
    comfy.finish(task?.promptId ?? "");
    expect((await task?.result())?.taskId).toBe(id);
    expect(comfy.prompts).toHaveLength(1);
  });
});

describe("the back/forward cache", () => {
  const envelopesOf = (host: ReturnType<typeof scriptedRealm>) =>
    host.envelopes.map(({ comfyTabs }) => comfyTabs);

  test("keeps the host from posting, and others may have the identity meanwhile", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const page = browser.openPage();
    await page.connect();
    await expect.poll(() => envelopesOf(host)).toEqual(["locked"]);
    const identity = browser.locks.names().find((name) => name.includes("/identity/")) ?? "";
    page.fire("pagehide", true);
    await expect.poll(() => envelopesOf(host)).toEqual(["locked", "suspend"]);
    expect(browser.locks.isHeld(identity)).toBe(false);
    page.fire("pageshow", true);
    await expect.poll(() => host.hellos().length).toBe(2);
    expect(browser.locks.isHeld(identity)).toBe(true);
    page.fire("pageshow", false);
    page.fire("pagehide", false);
    await expect.poll(() => envelopesOf(host)).toEqual(["locked", "suspend", "goodbye"]);
  });

  test("closes the port, so that what is on its way evicts nobody, and the welcome brings what came meanwhile", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    page.fire("pagehide", true);
    browser.comfy.start(task.promptId ?? "");
    browser.comfy.finish(task.promptId ?? "");
    page.fire("pageshow", true);
    expect((await task.result()).taskId).toBe(task.id);
    expect(await kindsOf(task)).toEqual(["accepted", "started", "succeeded"]);
  });

  test.each([true, false])(
    "gives back a page as itself that goes there again before its claim is granted (locks: %s)",
    async (hasLocks) => {
      const own = createBrowser({ hasLocks, hasChannels: !hasLocks });
      const page = own.openPage();
      const session = await page.connect();
      const { tabId } = session;
      const task = await session.submit(workflow);
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      for (const type of ["pagehide", "pageshow", "pagehide", "pageshow"] as const) page.fire(type, true);
      await vi.advanceTimersByTimeAsync(3_000);
      expect([session.tabId, session.tasks()]).toEqual([tabId, [task]]);
      own.end();
    },
  );

  test("keeps its port where there are no locks, without which nobody could tell its end", async () => {
    const host = scriptedRealm();
    const own = createBrowser({ hasLocks: false });
    own.workersAre(() => host.realm);
    const page = own.openPage();
    await page.connect();
    page.fire("pagehide", true);
    page.fire("pageshow", true);
    await expect.poll(() => envelopesOf(host)).toEqual(["suspend", "resume"]);
    own.end();
  });

  test("gives back a page that learns of the tasks of the tab's next page", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const own = await session.submit(workflow);
    page.fire("pagehide", true);
    const next = browser.openPage(page.storage);
    const other = await (await next.connect()).submit(workflow);
    next.fire("pagehide", false);
    next.crash();
    page.fire("pageshow", true);
    await expect.poll(() => session.tasks().map(({ id }) => id)).toEqual([own.id, other.id]);
  });

  test.each<[string, IDBFactory | null | undefined]>([
    ["", undefined],
    [" of a host that forgets them when it dies", null],
  ])(
    "gives back a page whose tasks have ended in the tab's next page, one dismissed there%s",
    async (_, indexedDB) => {
      browser.end();
      browser = createBrowser({ indexedDB });
      const { comfy } = browser;
      const page = browser.openPage();
      const session = await page.connect();
      const [kept, dropped] = [await session.submit(workflow), await session.submit(workflow)];
      const [result, kinds] = [codeOf(dropped.result()), kindsOf(dropped)];
      await expect.poll(() => comfy.prompts.length).toBe(2);
      page.fire("pagehide", true);
      const next = browser.openPage(page.storage);
      const there = await next.connect();
      for (const { id } of [kept, dropped]) {
        const task = there.task(id) as Task;
        await isAt(task, "queued");
        comfy.start(task.promptId ?? "");
        comfy.finish(task.promptId ?? "");
        await task.result();
      }
      await there.task(dropped.id)?.dismiss();
      next.fire("pagehide", false);
      next.crash();
      page.fire("pageshow", true);
      expect(await result).toBe("not-found");
      await kinds;
      expect((await kept.result()).taskId).toBe(kept.id);
      expect(session.tasks().map(({ id, status }) => [id, status])).toEqual([[kept.id, "succeeded"]]);
      page.crash();
      const again = await browser.openPage(page.storage).connect();
      expect(again.tasks().map(({ id, status }) => [id, status])).toEqual([[kept.id, "succeeded"]]);
    },
  );

  test("gives back a page that is another tab now, if a duplicate has become the old one", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const page = browser.openPage();
    const session = await page.connect();
    const task = await session.submit(workflow);
    const [result, kinds] = [codeOf(task.result()), kindsOf(task)];
    page.fire("pagehide", true);
    const duplicate = await browser.openPage(copyOf(page.storage)).connect();
    expect([duplicate.tabId, duplicate.tasks().length]).toEqual([session.tabId, 1]);
    page.fire("pageshow", true);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await result).toBe("not-found");
    await kinds;
    expect(session.tabId).not.toBe(duplicate.tabId);
    expect(await session.diagnostics()).toMatchObject({ tabId: session.tabId, tasks: { open: 0 } });
    expect(session.tasks()).toEqual([]);
  });

  test("gives back a page whose host dies while it finds that it is another tab: it is greeted as that", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const former = session.tabId;
    page.fire("pagehide", true);
    const copy = await browser.openPage(copyOf(page.storage)).connect();
    expect(copy.tabId).toBe(former);

    const welcomes: ((answer: unknown) => void)[] = [];
    const slow = scriptedRealm({ hello: () => new Promise((resolve) => welcomes.push(resolve)) });
    browser.workersAre(() => slow.realm);
    browser.killWorkers();
    page.fire("pageshow", true);
    await expect.poll(() => slow.hellos().length).toBe(2);
    await expect.poll(() => session.tabId, { timeout: 4_000 }).not.toBe(former);
    for (const welcome of welcomes) welcome({ ok: greeting("scripted") });
    await expect.poll(() => slow.hellos().at(-1).tabId).toBe(session.tabId);
    welcomes.at(-1)?.({ ok: greeting("scripted") });
    expect(await session.diagnostics()).toMatchObject({ tabId: session.tabId });
    // Who it was is the copy's.
    expect(slow.hellos().filter(({ tabId }) => tabId === former)).toHaveLength(2);
  });

  test("gives back a page that has left again before it had its identity back: it asks anew, as who it was", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const former = session.tabId;
    page.fire("pagehide", true);
    const next = browser.openPage(page.storage);
    await next.connect();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    page.fire("pageshow", true);
    page.fire("pagehide", true);
    await vi.advanceTimersByTimeAsync(2_500);
    vi.useRealTimers();
    expect(session.tabId).toBe(former);
    next.fire("pagehide", false);
    next.crash();
    page.fire("pageshow", true);
    expect((await session.diagnostics()).tabs).toBe(1);
    expect(session.tabId).toBe(former);
  });

  test("takes a page in the middle of its first handshake, and leaves its identity to the tab's next page", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const { id } = await session.submit(workflow);
    page.fire("pagehide", false);
    page.crash();
    browser.killWorkers();
    const mute = scriptedRealm({ hello: () => undefined });
    browser.workersAre(() => mute.realm);
    const cached = browser.openPage(page.storage);
    const connecting = codeOf(cached.connect());
    await expect.poll(() => mute.hellos().length).toBe(1);
    cached.fire("pagehide", true);
    browser.killWorkers();
    browser.workersAreReal();
    const next = await browser.openPage(page.storage).connect();
    expect([next.tabId, next.tasks().map((task) => task.id)]).toEqual([session.tabId, [id]]);
    cached.crash();
    void connecting;
  });
});
