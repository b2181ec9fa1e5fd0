import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Browser, createBrowser, type TestPage } from "../testing/browser.ts";
import { memoryStorage } from "../testing/storage.ts";
import { codeOf, isAt } from "../testing/task.ts";
import { createGlobals } from "./globals.ts";
import { createOldWindow, type OldWindow } from "./old-window.ts";
import type { WindowTask } from "./tasks.ts";

const server = "http://comfy.test";

let browser: Browser;
let page: TestPage;
let announced: Record<string, unknown>[];
let removed: string[];
let lines: unknown[][];

/** `localStorage`, of which other windows hear every change. */
const items = memoryStorage();
const shared: Storage = {
  ...items,
  setItem(key, value) {
    items.setItem(key, value);
    announced.push({ key, ...JSON.parse(value) });
  },
  removeItem(key) {
    items.removeItem(key);
    removed.push(key);
  },
};

function openWindow(on: TestPage = page): OldWindow {
  const state = {
    windowId: "window_before",
    clientId: "client_before",
    lockedServer: null,
    lockedAt: null,
    socketServer: null,
    socketAt: null,
  };
  return createOldWindow(state, {
    connect: (options) => on.connect({ logger: "silent", ...options }),
    console: { debug: (...said) => lines.push(said), warn: (...said) => lines.push(said) },
    storage: () => shared,
    now: () => 1000,
    changed: () => {},
  });
}

/** As the app does it: past the library. */
async function post(old: OldWindow, promptId: string): Promise<void> {
  const body = JSON.stringify({ client_id: old.state.clientId, prompt_id: promptId, prompt: {} });
  await browser.comfy.fetch(`${server}/prompt`, { method: "POST", body });
}

const callbacks = () => ({ onProgress: vi.fn(), onComplete: vi.fn(), onError: vi.fn() });

beforeEach(() => {
  browser = createBrowser();
  page = browser.openPage();
  items.clear();
  announced = [];
  removed = [];
  lines = [];
});
afterEach(() => browser.end());

describe("a window of the old code", () => {
  test("has its ids before it has named a server, and the server's socket has that client id", async () => {
    const old = openWindow();
    await old.open();
    const { windowId, clientId } = old.state;
    expect(windowId).toMatch(/^window_\d+_/);
    expect(clientId).not.toBe("client_before");

    await old.lockServer(`${server}/`);
    expect(old.state).toMatchObject({
      clientId,
      lockedServer: server,
      lockedAt: 1000,
      socketServer: server,
      socketAt: 1000,
    });
    await expect.poll(() => browser.comfy.sockets.map(({ url }) => url)).toHaveLength(1);
    expect(browser.comfy.sockets[0]?.url).toContain(clientId);
  });

  test("shares the client id with the windows that came before it", async () => {
    const one = openWindow();
    await one.lockServer(server);
    const other = openWindow(browser.openPage());
    await other.open();
    expect(other.state.clientId).toBe(one.state.clientId);
  });

  test("knows the lock as soon as it has asked for it, and is free after it was let go", async () => {
    const old = openWindow();
    const locking = old.lockServer(server);
    expect(old.state.lockedServer).toBe(server);
    await locking;
    expect(old.unlockServer()).toBe(true);
    expect(old.state).toMatchObject({ lockedServer: null, lockedAt: null, socketServer: server });
    expect(old.unlockServer()).toBe(false);
  });

  test("shares its server with other windows, unless one of them has it for itself", async () => {
    const [one, other] = [openWindow(), openWindow(browser.openPage())];
    expect([await one.lockServer(server), await other.lockServer(server)]).toEqual([true, true]);
    expect([one.unlockServer(), other.unlockServer()]).toEqual([true, true]);

    const alone = await browser.openPage().connect();
    const lock = await alone.lockServer(server, { mode: "exclusive" });
    expect(await one.lockServer(server)).toBe(false);
    expect(one.state.lockedServer).toBeNull();
    await lock?.release();
    expect(await one.lockServer(server)).toBe(true);
  });

  test("has no server locked any more when another window has stolen it, but its next choice", async () => {
    const old = openWindow();
    await old.lockServer(server);
    const alone = await browser.openPage().connect();
    const lock = await alone.lockServer(server, { mode: "exclusive", steal: true });
    await expect.poll(() => old.state).toMatchObject({ lockedServer: null, lockedAt: null });
    await lock.release();

    await old.lockServer(server);
    const choosing = old.lockServer("http://other.test");
    await alone.lockServer(server, { mode: "exclusive", steal: true });
    expect(await choosing).toBe(true);
    expect(old.state.lockedServer).toBe("http://other.test");
  });

  test("has its choice of a server also where there are no locks across windows", async () => {
    const old = openWindow(browser.openPage(undefined, { makeShared: undefined }));
    expect(await old.lockServer(server)).toBe(true);
    expect(old.state.lockedServer).toBe(server);
    expect(old.unlockServer()).toBe(true);
  });

  test("may name the server that it has configured otherwise again", async () => {
    const old = openWindow();
    await old.configureServers([{ url: server, id: "gpu", depth: 8 }]);
    await old.lockServer(server);
    const session = await old.open();
    expect(session.servers().map(({ id }) => id)).toEqual(["gpu"]);
  });

  test("is told of another client id when its host is another one", async () => {
    const old = openWindow();
    await old.lockServer(server);
    const { clientId } = old.state;
    browser.killWorkers();
    await expect.poll(() => old.state.clientId, { timeout: 4_000 }).not.toBe(clientId);
  });

  test("has the client id of the server that it has chosen last, however soon after another", async () => {
    const old = openWindow();
    await old.configureServers([server]);
    const choosing = [old.lockServer("http://slow.test"), old.lockServer(server)];
    await Promise.all(choosing);
    const session = await old.open();
    expect(old.state).toMatchObject({ lockedServer: server, socketServer: server });
    expect(old.state.clientId).toBe(await session.clientId(server));
  });

  test("has no server locked where the lock could not be asked for", async () => {
    const old = openWindow();
    const session = await old.open();
    await session.close();
    expect(await codeOf(old.lockServer(server))).toBe("closed");
    expect(old.state).toMatchObject({ lockedServer: null, lockedAt: null });
  });

  test("refuses what is no address", async () => {
    const old = openWindow();
    expect(await codeOf(old.configureServers(["ftp://comfy.test"]))).toBe("invalid-option");
    for (const none of ["", null, undefined] as string[]) {
      expect(await codeOf(old.lockServer(none))).toBe("invalid-option");
      expect(await codeOf(old.configureServers([none]))).toBe("invalid-option");
    }
  });

  test("marks its lines as the old code did", async () => {
    const old = openWindow();
    await old.open();
    await old.lockServer(server);
    const { windowId } = old.state;
    expect(lines.map(([mark]) => mark)).toEqual(["🪟", "🔑", "🔒"]);
    expect(lines.every(([, who]) => who === `[${windowId}]`)).toBe(true);
  });
});

describe("a prompt that the app has POSTed", () => {
  test("calls back with its progress and its result, and is announced to other windows", async () => {
    const old = openWindow();
    await old.lockServer(server);
    await post(old, "p-1");
    const told = callbacks();
    await old.register("p-1", told);
    browser.comfy.start("p-1");
    browser.comfy.progress("p-1", 3);
    await expect
      .poll(() => told.onProgress.mock.calls)
      .toEqual([[{ prompt_id: "p-1", node: "1", value: 3, max: 10 }]]);
    expect(old.tasks.pendingTasks.get("p-1")).toMatchObject({ status: "running", server, promptId: "p-1" });

    browser.comfy.finish("p-1");
    await expect.poll(() => told.onComplete.mock.calls.length, { timeout: 4_000 }).toBe(1);
    expect(told.onComplete.mock.calls[0]?.[0]).toMatchObject({ promptId: "p-1", outputs: {} });
    expect(told.onError).not.toHaveBeenCalled();
    expect(old.tasks.pendingTasks.size).toBe(0);
    expect(old.tasks.windowTasks.get("p-1")?.status).toBe("completed");

    const { windowId, clientId } = old.state;
    const common = { key: "comfyui_task_p-1", windowId, clientId, promptId: "p-1", timestamp: 1000 };
    expect(announced).toEqual([
      { ...common, type: "task_registered", status: "registered" },
      { ...common, type: "task_running", status: "running" },
      { ...common, type: "task_completed", status: "completed" },
    ]);
    expect(removed).toEqual(["comfyui_task_p-1"]);
  });

  test("calls back once with its error where it fails", async () => {
    const old = openWindow();
    await old.lockServer(server);
    await post(old, "p-1");
    const told = callbacks();
    await old.register("p-1", told);
    browser.comfy.fail("p-1");
    await expect.poll(() => told.onError.mock.calls.length, { timeout: 4_000 }).toBe(1);
    expect(told.onError.mock.calls[0]?.[0]).toMatchObject({ code: "node-failed" });
    expect(told.onComplete).not.toHaveBeenCalled();
    expect(announced.at(-1)).toMatchObject({ type: "task_failed", status: "failed" });
  });

  test("is refused by a callback where no server was named, or where another window has it", async () => {
    const old = openWindow();
    const told = callbacks();
    expect(await old.register("p-1", told)).toBeUndefined();
    expect(told.onError.mock.calls[0]?.[0]).toMatchObject({ code: "invalid-option" });

    await old.lockServer(server);
    await post(old, "p-2");
    await old.register("p-2", {});
    const other = openWindow(browser.openPage());
    await other.lockServer(server);
    const refused = callbacks();
    expect(await other.register("p-2", refused)).toBeUndefined();
    expect(refused.onError.mock.calls[0]?.[0]).toMatchObject({ code: "not-found" });
  });

  test("goes on when a callback throws", async () => {
    const old = openWindow();
    await old.lockServer(server);
    await post(old, "p-1");
    const onProgress = () => {
      throw new Error("out of ink");
    };
    const onComplete = vi.fn();
    await old.register("p-1", { onProgress, onComplete });
    browser.comfy.progress("p-1", 3);
    browser.comfy.finish("p-1");
    await expect.poll(() => onComplete.mock.calls.length, { timeout: 4_000 }).toBe(1);
    expect(lines.some((line) => line.some((word) => String(word).includes("out of ink")))).toBe(true);
  });

  test("is there again after a reload, and calls back those who register anew", async () => {
    const before = openWindow();
    await before.lockServer(server);
    await post(before, "p-1");
    await before.register("p-1", {});
    page.fire("pagehide", false);
    page.crash();

    const after = openWindow(browser.openPage(page.storage));
    await after.open();
    expect([...after.tasks.windowTasks.keys()]).toEqual(["p-1"]);
    const told = callbacks();
    await after.lockServer(server);
    await after.register("p-1", told);
    browser.comfy.finish("p-1");
    await expect.poll(() => told.onComplete.mock.calls.length, { timeout: 4_000 }).toBe(1);
    expect(after.tasks.windowTasks.size).toBe(1);
  });

  test("whose end other windows know is not told again after a reload, but one that came meanwhile is", async () => {
    const before = openWindow();
    await before.lockServer(server);
    for (const promptId of ["p-1", "p-2"]) {
      await post(before, promptId);
      await before.register(promptId, {});
    }
    browser.comfy.finish("p-1");
    await expect.poll(() => removed, { timeout: 4_000 }).toEqual(["comfyui_task_p-1"]);
    page.fire("pagehide", false);
    page.crash();
    browser.comfy.finish("p-2");
    announced = [];

    const after = openWindow(browser.openPage(page.storage));
    await after.open();
    await expect.poll(() => after.tasks.pendingTasks.size, { timeout: 4_000 }).toBe(0);
    expect(new Set(announced.map(({ promptId }) => promptId))).toEqual(new Set(["p-2"]));
    expect(announced.at(-1)).toMatchObject({ type: "task_completed" });
    expect([...after.tasks.windowTasks.values()].map(({ status }) => status)).toEqual([
      "completed",
      "completed",
    ]);
    expect(after.tasks.remove("p-1")).toBe(true);
    const again = await after.open();
    await expect.poll(() => again.tasks().map(({ promptId }) => promptId)).toEqual(["p-2"]);
  });

  test("is not there any more once it was removed, and its callbacks are called no more", async () => {
    const old = openWindow();
    await old.lockServer(server);
    await post(old, "p-1");
    const told: Partial<WindowTask> & ReturnType<typeof callbacks> = callbacks();
    const task = await old.register("p-1", told);
    expect(old.tasks.remove("p-1")).toBe(true);
    expect(old.tasks.remove("p-1")).toBe(false);
    browser.comfy.finish("p-1");
    const session = await old.open();
    await expect.poll(() => session.tasks(), { timeout: 4_000 }).toEqual([]);
    expect(task?.status).toBe("succeeded");
    expect(told.onComplete).not.toHaveBeenCalled();
    expect(removed).toContain("comfyui_task_p-1");
  });

  test("calls back once, also where what windowTasks holds after a reload is registered again", async () => {
    const before = openWindow();
    await before.lockServer(server);
    await post(before, "p-1");
    await before.register("p-1", {});
    page.fire("pagehide", false);
    page.crash();

    const after = openWindow(browser.openPage(page.storage));
    await after.open();
    const told = callbacks();
    for (const [promptId, task] of after.tasks.windowTasks)
      await after.register(promptId, Object.assign(task, told));
    browser.comfy.progress("p-1", 3);
    browser.comfy.finish("p-1");
    await expect.poll(() => told.onComplete.mock.calls.length, { timeout: 4_000 }).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect([told.onProgress.mock.calls.length, told.onComplete.mock.calls.length]).toEqual([1, 1]);
  });

  test("is forgotten when it has ended, also where it was removed before the host had answered", async () => {
    const old = openWindow();
    await old.lockServer(server);
    await post(old, "p-1");
    const told = callbacks();
    const registering = old.register("p-1", told);
    expect(old.tasks.remove("p-1")).toBe(true);
    const task = await registering;
    browser.comfy.finish("p-1");
    await isAt(task, "succeeded");
    const session = await old.open();
    await expect.poll(() => session.tasks(), { timeout: 4_000 }).toEqual([]);
    expect(told.onComplete).not.toHaveBeenCalled();
  });
});

test("a window that had no host at first shows in a console what it has since", async () => {
  let tries = 0;
  const old = createOldWindow(
    {
      windowId: "window_before",
      clientId: "client_before",
      lockedServer: null,
      lockedAt: null,
      socketServer: null,
      socketAt: null,
    },
    {
      connect: async (options) => {
        tries += 1;
        if (tries === 1) throw new Error("no host");
        return page.connect({ logger: "silent", ...options });
      },
      console: { debug: () => {}, warn: () => {} },
      storage: () => shared,
      now: () => 1000,
      changed: () => {},
    },
  );
  const globals = createGlobals(old);
  await old.open().catch(() => {});
  await old.lockServer(server);
  expect(globals.getWindowInfo().tabId).toEqual(expect.any(String));
  expect(globals.debugWebSocketLock().servers).toHaveLength(1);
});
