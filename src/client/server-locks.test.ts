import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Session } from "./api.ts";
import type { Calls } from "./calls.ts";
import { createServerLocks } from "./server-locks.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { codeOf } from "./testing/task.ts";

const server = "http://comfy.test";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => browser.end());

const open = (): Promise<Session> => browser.openPage().connect({ servers: [server] });

/** A page's locks, at a host that the test plays. */
function scripted() {
  const calls: {
    readonly method: string;
    readonly arg: unknown;
    answer(value: unknown): void;
    fail(error: unknown): void;
  }[] = [];
  const call = (method: string, [arg]: readonly unknown[]): Promise<unknown> =>
    new Promise((answer, fail) => calls.push({ method, arg, answer, fail }));
  return { calls, locks: createServerLocks(call as Calls["call"]) };
}

describe("lockServer", () => {
  test("waits until the other tab releases, and tells both how the server stands", async () => {
    const [anna, ben] = [await open(), await open()];
    const hers = await anna.lockServer(server, { mode: "exclusive" });
    await expect.poll(() => ben.servers()[0]?.lock).toEqual({ mode: "exclusive", by: "another-tab" });
    const told: unknown[] = [];
    ben.on("lock", ({ serverId, lock }) => told.push([serverId, lock?.by]));
    const his = ben.lockServer(server, { mode: "exclusive" });
    await hers.release();
    expect((await his).serverIds).toEqual([server]);
    await expect.poll(() => told.at(-1)).toEqual([server, "this-tab"]);
  });

  test("answers null where it would have to wait and may not", async () => {
    const [anna, ben] = [await open(), await open()];
    await anna.lockServer(undefined, { mode: "exclusive" });
    expect(await ben.lockServer(server, { ifAvailable: true })).toBeNull();
  });

  test("tells who has lost a lock to a thief", async () => {
    const [anna, ben] = [await open(), await open()];
    const hers = await anna.lockServer(server, { mode: "exclusive" });
    await ben.lockServer(server, { mode: "exclusive", steal: true });
    await expect(hers?.lost).resolves.toBeUndefined();
  });

  test("ends its wait with its signal, and lets the next one have it", async () => {
    const [anna, ben, carl] = [await open(), await open(), await open()];
    const hers = await anna.lockServer(server, { mode: "exclusive" });
    const impatience = new AbortController();
    const his = ben.lockServer(server, { mode: "exclusive", signal: impatience.signal });
    const carls = carl.lockServer(server, { mode: "exclusive" });
    impatience.abort();
    expect(await codeOf(his)).toBe("aborted");
    await hers?.release();
    expect((await carls)?.serverIds).toEqual([server]);
  });

  test("outlives the host: what is held stays held, and who waits goes on waiting", async () => {
    const [anna, ben] = [await open(), await open()];
    const hers = await anna.lockServer(server, { mode: "exclusive" });
    let granted = false;
    const his = ben.lockServer(server, { mode: "exclusive" }).then((lock) => {
      granted = true;
      return lock;
    });
    await anna.diagnostics();
    browser.killWorkers();
    await Promise.all([anna.diagnostics(), ben.diagnostics()]);
    await expect.poll(() => anna.servers()[0]?.lock?.by).toBe("this-tab");
    expect(granted).toBe(false);
    await hers?.release();
    expect((await his)?.serverIds).toEqual([server]);
  });

  test("is released with the session that took it", async () => {
    const [anna, ben] = [await open(), await open()];
    await anna.lockServer(server, { mode: "exclusive" });
    const his = ben.lockServer(server, { mode: "exclusive" });
    await anna.close();
    expect((await his)?.serverIds).toEqual([server]);
  });

  test("ends the waits of a session that is closed, and leaves another handle's locks alone", async () => {
    const page = browser.openPage();
    const [one, other] = [
      await page.connect({ servers: [server] }),
      await page.connect({ servers: [server] }),
    ];
    const anna = await open();
    const hers = await anna.lockServer(server, { mode: "exclusive" });
    const waits = one.lockServer(server, { mode: "exclusive" });
    const kept = other.lockServer(server, { mode: "exclusive" });
    const code = codeOf(waits);
    await one.close();
    expect(await code).toBe("closed");
    await hers?.release();
    expect((await kept)?.serverIds).toEqual([server]);
  });

  test("that was given up unanswered holds up nobody", async () => {
    const [anna, ben] = [await open(), await open()];
    const impatience = new AbortController();
    const hers = codeOf(anna.lockServer(server, { mode: "exclusive", signal: impatience.signal }));
    impatience.abort();
    expect(await hers).toBe("aborted");
    expect((await ben.lockServer(server, { mode: "exclusive" }))?.serverIds).toEqual([server]);
  });

  test("that was given up before a host heard of it is let go by the next one", async () => {
    const { locks, calls } = scripted();
    const impatience = new AbortController();
    const code = codeOf(locks.lock(server, { mode: "exclusive", signal: impatience.signal }, {}));
    impatience.abort();
    expect(await code).toBe("aborted");
    calls[1]?.fail(new Error("no host in time"));
    calls[0]?.answer({ state: "granted", serverIds: [server] });
    await expect
      .poll(() => calls.map(({ method }) => method))
      .toEqual(["lockServer", "unlockServer", "unlockServer"]);
  });

  test("that was let go while the next host was greeted is let go there", () => {
    const { locks, calls } = scripted();
    locks.takeWelcome([{ lockId: "former", state: "granted", serverIds: [server] }]);
    expect(calls).toMatchObject([{ method: "unlockServer", arg: "former" }]);
  });

  test.each([
    ["another mode", server, { mode: "mine" }],
    ["no server at all", [], {}],
    ["what is stolen and only if it is there", server, { mode: "exclusive", steal: true, ifAvailable: true }],
    ["what is stolen and shared", server, { steal: true }],
  ])("refuses %s", async (_, wanted, options) => {
    const anna = await open();
    expect(await codeOf(anna.lockServer(wanted, options as never))).toBe("invalid-option");
    expect(await codeOf(anna.lockServer("elsewhere"))).toBe("not-found");
  });
});
