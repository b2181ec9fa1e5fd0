import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ConnectOptions } from "../api.ts";
import { type Browser, createBrowser, type TestPage } from "../testing/browser.ts";
import { isAt, workflow } from "../testing/task.ts";
import { comfyStore, nothingYet, writtenOut } from "./comfy.ts";
import { serversStore } from "./servers.ts";
import type { Store } from "./store.ts";
import { taskStore } from "./task-view.ts";

const options: ConnectOptions = { servers: ["http://comfy.test"] };

let browser: Browser;
let page: TestPage;
beforeEach(() => {
  browser = createBrowser();
  page = browser.openPage();
});
afterEach(() => browser.end());

/** A component that shows the store, as long as it is mounted. */
function mount<T>(store: Store<T>) {
  const shown: T[] = [];
  const unmount = store.subscribe(() => shown.push(store.get()));
  return { shown, unmount };
}

test("options that are written the same are the same", () => {
  const worker = () => new Worker("worker.js");
  expect(writtenOut({ ...options, worker })).toBe(writtenOut({ ...options, worker: () => worker() }));
  expect(writtenOut(options)).not.toBe(writtenOut({ servers: ["http://other.test"] }));
});

test("options are the same whatever their logger has heard, and whatever it holds", () => {
  const lines: unknown[] = [];
  const logger = { lines, self: {}, debug: (...said: unknown[]) => lines.push(said), warn: () => {} };
  const before = writtenOut({ ...options, logger });
  logger.debug("a line");
  logger.self = logger;
  expect(writtenOut({ ...options, logger })).toBe(before);
});

test("options that cannot be written are an error of the session's, and not the component's", async () => {
  const wrong: ConnectOptions = { servers: [{ url: "http://comfy.test", depth: 1n as never }] };
  expect(writtenOut(wrong)).not.toBe(writtenOut(options));
  const store = comfyStore(page.connect, wrong);
  mount(store);
  await expect.poll(() => store.get().error?.code).toBe("invalid-option");
});

describe("the session", () => {
  test("is there from the handshake until nobody shows it any more", async () => {
    const store = comfyStore(page.connect, options);
    expect(store.get()).toBe(nothingYet);
    const { unmount } = mount(store);
    await expect.poll(() => store.get().session).toBeDefined();
    const { session } = store.get();
    unmount();
    expect(store.get()).toBe(nothingYet);
    await expect
      .poll(() =>
        session?.diagnostics().then(
          () => "open",
          ({ code }) => code,
        ),
      )
      .toBe("closed");
    expect(page.pages.size).toBe(0);
  });

  test("has one link for a component that is mounted twice, and after a hot reload", async () => {
    const store = comfyStore(page.connect, options);
    mount(store).unmount();
    const second = mount(store);
    await expect.poll(() => store.get().session).toBeDefined();
    second.unmount();
    mount(store);
    await expect.poll(() => store.get().session).toBeDefined();
    expect(await store.get().session?.diagnostics()).toMatchObject({ tabs: 1 });
    expect(page.ports).toHaveLength(1);
  });

  test("lists tasks that come, end and are dismissed", async () => {
    const store = comfyStore(page.connect, options);
    const { shown } = mount(store);
    await expect.poll(() => store.get().session).toBeDefined();
    const task = await store.get().session?.submit(workflow);
    expect(store.get().tasks).toEqual([task]);
    await isAt(task, "queued");
    browser.comfy.finish(task?.promptId ?? "");
    await isAt(task, "succeeded");
    expect(shown.at(-1)?.tasks.map(({ status }) => status)).toEqual(["succeeded"]);
    await task?.dismiss();
    expect(store.get().tasks).toEqual([]);
  });

  test("that cannot be had is an error, which unmounting does not repeat", async () => {
    const store = comfyStore(page.connect, { servers: [] });
    const { unmount, shown } = mount(store);
    await expect.poll(() => store.get().error?.code).toBe("invalid-option");
    unmount();
    expect([store.get(), shown.length]).toEqual([nothingYet, 1]);
  });
});

describe("a task", () => {
  test("is shown as it is, with the newest of each kind, also to whoever comes late", async () => {
    const session = await page.connect();
    const task = await session.submit(workflow);
    const early = taskStore(task);
    const { shown, unmount } = mount(early);
    await isAt(task, "queued");
    const promptId = task.promptId ?? "";
    browser.comfy.start(promptId);
    browser.comfy.progress(promptId, 5);
    await expect.poll(() => early.get()?.progress?.value).toBe(5);
    expect([early.get()?.status, early.get()]).toEqual(["running", shown.at(-1)]);
    unmount();
    browser.comfy.fail(promptId);
    await isAt(task, "failed");
    expect(early.get()?.status).toBe("running");

    const late = taskStore(task);
    mount(late);
    await expect.poll(() => late.get()?.error?.code).toBe("node-failed");
    expect(late.get()).toMatchObject({ status: "failed", result: undefined, preview: undefined });
  });

  test("that has succeeded shows its result", async () => {
    const session = await page.connect();
    const task = await session.submit(workflow);
    const store = taskStore(task);
    mount(store);
    await isAt(task, "queued");
    browser.comfy.start(task.promptId ?? "");
    browser.comfy.finish(task.promptId ?? "");
    await expect.poll(() => store.get()?.result?.taskId).toBe(task.id);
  });

  test("is not shown any more to whoever has turned away", async () => {
    const session = await page.connect();
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    const { shown, unmount } = mount(taskStore(task));
    await expect.poll(() => shown.length).toBeGreaterThan(0);
    unmount();
    const before = shown.length;
    await new Promise((resolve) => setImmediate(resolve));
    expect(shown).toHaveLength(before);
  });

  test("that is none is shown as none", () => {
    const store = taskStore(undefined);
    mount(store).unmount();
    expect(store.get()).toBeUndefined();
  });
});

describe("servers", () => {
  test("are shown as they are now", async () => {
    const session = await page.connect();
    const store = serversStore(session);
    const { shown, unmount } = mount(store);
    await expect.poll(() => store.get()[0]?.connection).toBe("open");
    expect(store.get()).toEqual(session.servers());
    const before = shown.length;
    unmount();
    browser.comfy.say("status", { status: { exec_info: { queue_remaining: 7 } } });
    await expect.poll(() => session.servers()[0]?.queueRemaining).toBe(7);
    expect(shown).toHaveLength(before);
  });

  test("are shown as locked when another tab locks them", async () => {
    const store = serversStore(await page.connect());
    mount(store);
    const other = await browser.openPage().connect();
    const lock = await other.lockServer("http://comfy.test");
    await expect.poll(() => store.get()[0]?.lock?.by).toBe("another-tab");
    await lock?.release();
    await expect.poll(() => store.get()[0]?.lock).toBeUndefined();
  });

  test("of a session that was closed are shown as they were", async () => {
    const session = await page.connect();
    await expect.poll(() => session.servers()[0]?.connection).toBe("open");
    await session.close();
    const store = serversStore(session);
    mount(store).unmount();
    expect(store.get()).toEqual(session.servers());
  });

  test("of no session are none", () => {
    const store = serversStore(undefined);
    mount(store).unmount();
    expect(store.get()).toEqual([]);
  });
});
