import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Epoch } from "../protocol/ids.ts";
import { hostLock, identityKey } from "../protocol/names.ts";
import type { ConnectOptions } from "./api.ts";
import { connect } from "./index.ts";
import type { HostPort, Platform } from "./platform.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { scriptedRealm } from "./testing/scripted.ts";
import { codeOf } from "./testing/task.ts";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
});

const silentRealm = () => ({ epoch: "silent", connect: () => {}, die: () => {} });

describe("connect", () => {
  test("gives every call a handle on one link, which closes with the last of them", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const [one, two] = await Promise.all([page.connect(), page.connect()]);
    expect(page.ports).toHaveLength(1);
    expect([one.tabId, one.windowId]).toEqual([two.tabId, two.windowId]);
    expect(await one.diagnostics()).toMatchObject({ tabs: 1, mode: "shared", tabId: one.tabId });

    await one.close();
    await one.close();
    expect(await codeOf(one.diagnostics())).toBe("closed");
    expect(() => one.on("mode", () => {})).toThrow("closed");
    expect(await two.diagnostics()).toMatchObject({ tabs: 1 });

    await two.close();
    await expect.poll(comfy.liveSockets).toBe(0);
    expect([page.hear.pagehide.size, page.hear.pageshow.size, page.pages.size]).toEqual([0, 0, 0]);
    const ofPages = /^comfy-tabs\/(tab|identity)\//;
    expect(browser.locks.names().filter((name) => ofPages.test(name))).toEqual([]);
  });

  test("has a worker on its way before all else, and a new tab has said hello before it asks for its locks", async () => {
    const page = browser.openPage();
    const asked: string[] = [];
    const [{ platform, storage }, { locks, makeShared }] = [page, page.platform];
    platform.locks = locks && {
      request: (name: string, ...how: [object, () => Promise<void>]) => {
        asked.push(name.replace(/\/[^/]+$/, ""));
        return locks.request(name, ...how);
      },
    };
    platform.makeShared = (...given) => {
      asked.push("worker");
      const host = makeShared?.(...given) as HostPort;
      const post = host.port.postMessage.bind(host.port);
      host.port.postMessage = (message: { path?: string[] }) => {
        if (message.path) asked.push(...message.path);
        post(message);
      };
      return host;
    };
    platform.storage = () => {
      asked.push("storage");
      return storage;
    };
    const [tab, identity, host] = ["comfy-tabs/tab", "comfy-tabs/identity/comfy-tabs", "comfy-tabs/host"];
    const session = await page.connect();
    expect(asked.slice(0, 7)).toEqual(["worker", "storage", "hello", tab, identity, "storage", host]);
    await session.close();
    asked.length = 0;
    await page.connect();
    expect(asked.slice(0, 6)).toEqual(["worker", "storage", tab, identity, "storage", "hello"]);
  });

  test("of a page that is only prerendered waits until it is shown, and starts no worker nor deadline before", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let show = (): void => {};
    const whenShown = new Promise<void>((shown) => {
      show = shown;
    });
    const page = browser.openPage(undefined, { whenShown });
    const connecting = page.connect();
    await vi.advanceTimersByTimeAsync(60_000);
    expect([browser.made, page.storage.length]).toEqual([[], 0]);
    show();
    expect((await connecting).servers()).toHaveLength(1);
  });

  test("leaves no timer behind, and after close no wait for the host's end", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval"] });
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    const lock = hostLock("scripted" as Epoch);
    await expect.poll(() => browser.locks.waitingFor(lock)).toBe(1);
    await session.diagnostics();
    expect(vi.getTimerCount()).toBe(0);
    await session.close();
    expect(browser.locks.waitingFor(lock)).toBe(0);
  });

  test("connects anew after the last handle was closed, as the same tab", async () => {
    const page = browser.openPage();
    const first = await page.connect();
    await first.close();
    const second = await page.connect();
    expect(second.tabId).toBe(first.tabId);
    expect(second.windowId).not.toBe(first.windowId);
    expect(await second.diagnostics()).toMatchObject({ tabs: 1 });
  });

  test("has a link of its own for every name", async () => {
    const page = browser.openPage();
    const [one, other] = [await page.connect({ name: "one" }), await page.connect({ name: "other" })];
    expect(one.tabId).not.toBe(other.tabId);
    expect(browser.made.map(({ name }) => name)).toEqual(["comfy-tabs/1/one", "comfy-tabs/1/other"]);
  });

  test("refuses a second call that wants another mode, worker, previews, or server by a known id", async () => {
    const page = browser.openPage();
    const given: ConnectOptions = {
      servers: [{ id: "main", url: "http://comfy.test" }],
      mode: "shared",
      worker: new URL("https://app.test/worker.js"),
    };
    await page.connect(given);
    const wrong = (options: Partial<ConnectOptions>) =>
      expect(page.connect({ ...given, ...options })).rejects;
    await wrong({ mode: "solo" }).toMatchObject({ code: "invalid-option", details: { option: "mode" } });
    await wrong({ previews: "none" }).toMatchObject({ details: { option: "previews" } });
    await wrong({ worker: "https://app.test/other.js" }).toMatchObject({ details: { option: "worker" } });
    await wrong({ servers: [{ id: "main", url: "http://other.test" }] }).toMatchObject({
      details: { option: "servers" },
    });
    await wrong({ servers: [{ id: "main", url: "http://comfy.test", weight: 2 }] }).toMatchObject({
      details: { option: "servers" },
    });
    expect(await codeOf(page.connect({ ...given, worker: "https://app.test/worker.js" }))).toBe("resolved");
    expect(page.ports).toHaveLength(1);
  });

  test("takes a component's own function that makes the worker for the same one", async () => {
    const page = browser.openPage();
    const options = () => ({ worker: () => new Worker("worker.js") });
    await page.connect(options());
    expect(await codeOf(page.connect(options()))).toBe("resolved");
  });

  test("adds servers that are named later, also ones that another tab has connected already", async () => {
    const [page, other] = [browser.openPage(), browser.openPage()];
    await other.connect({ servers: ["http://two.test"] });
    const first = await page.connect();
    const second = await page.connect({ servers: ["http://two.test", "http://comfy.test"] });
    const named = ["http://comfy.test", "http://two.test"];
    expect(first.servers().map(({ id }) => id)).toEqual(named);
    expect(second.servers().map(({ id }) => id)).toEqual(named);
    expect((await second.diagnostics()).servers.map(({ id }) => id)).toEqual(named);
    browser.killWorkers();
    expect((await second.diagnostics()).servers.map(({ id }) => id)).toEqual(named);
  });

  test("has the browser ask its user for the network of servers that are named later, too", async () => {
    const asked: string[][] = [];
    const askForAccess = async (servers: readonly { url: string }[]) =>
      void asked.push(servers.map(({ url }) => url));
    const page = browser.openPage(undefined, { askForAccess });
    await page.connect();
    await page.connect({ servers: ["http://comfy.test", "http://192.168.1.5:8188"] });
    expect(asked).toEqual([["http://comfy.test"], ["http://192.168.1.5:8188"]]);
  });

  test("does not name a server that the host refused in later handshakes", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const long = { id: "long", url: `http://comfy.test/${"x".repeat(2_000)}` };
    expect(await codeOf(page.connect({ servers: [long] }))).toBe("invalid-option");
    browser.killWorkers();
    expect(await session.diagnostics()).toMatchObject({ epoch: "epoch-2" });
  });

  test("rejects where there is no page, and touches nothing while being imported", async () => {
    expect(typeof window).toBe("undefined");
    await expect(connect({ servers: ["http://comfy.test"] })).rejects.toMatchObject({
      code: "unsupported-environment",
      details: { missing: "window" },
    });
  });

  test("gives up after 15 s without a handshake, and does not spoil the next call", async () => {
    vi.useFakeTimers();
    browser.workersAre(silentRealm);
    const page = browser.openPage();
    const outcome = Promise.all([codeOf(page.connect()), codeOf(page.connect())]);
    await vi.advanceTimersByTimeAsync(15_000);
    expect(await outcome).toEqual(["timeout", "timeout"]);
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
    const tabId = JSON.parse(page.storage.getItem(identityKey("comfy-tabs")) ?? "{}").tabId;
    browser.killWorkers();
    browser.workersAreReal();
    expect((await page.connect()).tabId).toBe(tabId);
  });

  test.each([
    [{ servers: [] }, "servers"],
    [{ servers: ["ftp://comfy.test"] }, "servers"],
    [
      {
        servers: [
          { url: "http://one.test", id: "a" },
          { url: "http://two.test", id: "a" },
        ],
      },
      "id",
    ],
    [
      {
        servers: [
          { url: "http://one.test", auth: { type: "bearer", token: "anna's" } },
          { url: "http://one.test", auth: { type: "bearer", token: "ben's" } },
        ],
      },
      "id",
    ],
    [{ servers: ["http://anna:pw@one.test/x"] }, "servers"],
    [{ servers: ["anna@one.test"] }, "servers"],
    [{ logger: { warn() {} } }, "logger"],
    [{ name: "" }, "name"],
    [{ mode: "best" }, "mode"],
    [{ previews: "all" }, "previews"],
    [{ logger: "loud" }, "logger"],
    [{ logger: null }, "logger"],
    [{ worker: 1 }, "worker"],
  ])("refuses %j before anything is made", async (options, option) => {
    const page = browser.openPage();
    await expect(page.connect(options as never)).rejects.toMatchObject({
      code: "invalid-option",
      details: { option },
    });
    expect([page.ports, page.pages.size]).toEqual([[], 0]);
  });

  test("takes a server that is named twice for one, and a path with an @ for no credential", async () => {
    const servers = ["http://comfy.test/@anna/gpu", "http://comfy.test/@anna/gpu/"];
    const session = await browser.openPage().connect({ servers });
    expect(session.servers().map(({ url }) => url)).toEqual(["http://comfy.test/@anna/gpu"]);
  });

  test.each([
    [{ id: "" }, "id", "a text of 1 to 2000 characters"],
    [{ weight: "2" }, "weight", "a number above 0"],
    [{ weight: Infinity }, "weight", "a number above 0"],
    [{ depth: 0 }, "depth", "a number above 0"],
    [{ depth: 1.5 }, "depth", "a whole number"],
    [{ broadcastTypes: "a" }, "broadcastTypes", "a list of 0 to 1000"],
  ])(
    "has the host refuse a server with %j, and does not spoil the next call",
    async (wrong, option, wanted) => {
      const page = browser.openPage();
      const server = { url: "http://comfy.test", ...wrong };
      await expect(page.connect({ servers: [server as never] })).rejects.toMatchObject({
        code: "invalid-option",
        message: `\`${option}\` has to be ${wanted}.`,
        details: { option },
      });
      expect(page.pages.size).toBe(0);
      expect(await codeOf(page.connect({ servers: [{ url: server.url, depth: Infinity }] }))).toBe(
        "resolved",
      );
    },
  );
});

describe("the mode", () => {
  const failing = () => {
    const { port1, port2 } = new MessageChannel();
    return {
      port: port1,
      failed: Promise.reject(new Error("the SharedWorker could not be loaded")),
      close: () => port2.close(),
    };
  };

  test("is shared where that can be had, and solo where there is no SharedWorker", async () => {
    const [both, without] = [browser.openPage(), browser.openPage(undefined, { makeShared: undefined })];
    const asHoped = await (await both.connect()).diagnostics();
    expect([asHoped.mode, "reason" in asHoped, asHoped.locks]).toEqual(["shared", false, true]);
    expect(await (await without.connect()).diagnostics()).toMatchObject({
      mode: "solo",
      reason: "there is no SharedWorker",
    });
    expect(browser.comfy.sockets).toHaveLength(2);
  });

  test("falls back to solo when the SharedWorker cannot be loaded, and says why", async () => {
    const warn = vi.fn();
    const page = browser.openPage(undefined, { makeShared: failing });
    const session = await page.connect({ logger: { debug() {}, warn } });
    const mode = await new Promise((resolve) => session.on("mode", resolve));
    expect(mode).toEqual({
      mode: "solo",
      epoch: "epoch-1",
      reason: "the SharedWorker could not be loaded",
    });
    const { reason } = await session.diagnostics();
    expect(reason).toBe("the SharedWorker could not be loaded");
    expect(warn).toHaveBeenCalledWith(
      expect.stringMatching(/^\[window_\d+_.+\]$/),
      "no host of this kind: the SharedWorker could not be loaded",
    );
  });

  test("falls back also when the constructor throws, as in a sandboxed frame", async () => {
    const makeShared = () => {
      throw new Error("SecurityError");
    };
    const session = await browser.openPage(undefined, { makeShared }).connect();
    expect((await session.diagnostics()).mode).toBe("solo");
  });

  test("is not changed against the app's wish", async () => {
    const page = browser.openPage(undefined, { makeShared: failing });
    expect(await codeOf(page.connect({ mode: "shared" }))).toBe("unsupported-environment");
    expect(browser.made).toEqual([]);
    expect((await (await browser.openPage().connect({ mode: "solo" })).diagnostics()).mode).toBe("solo");
    const none = browser.openPage(undefined, { makeShared: undefined, makeSolo: undefined });
    await expect(none.connect()).rejects.toMatchObject({ details: { missing: "Worker" } });
  });

  test("stays what it is after the handshake, whatever errors and deaths come", async () => {
    let fail = (_error: Error): void => {};
    const page = browser.openPage();
    const shared = page.platform.makeShared as NonNullable<Platform["makeShared"]>;
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    page.platform.makeShared = (source, name) => ({ ...shared(source, name), failed });
    const session = await page.connect();
    fail(new Error("an error in the worker's script"));
    page.platform.makeShared = shared;
    browser.killWorkers();
    expect(await session.diagnostics()).toMatchObject({ mode: "shared", epoch: "epoch-2" });
  });
});
