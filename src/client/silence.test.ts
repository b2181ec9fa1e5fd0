import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { generationKey, workerName } from "../protocol/names.ts";
import type { Answer } from "../protocol/session-api.ts";
import { createGeneration } from "./generation.ts";
import { listening } from "./silence.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { greeting, scriptedRealm } from "./testing/scripted.ts";
import { memoryStorage } from "./testing/storage.ts";
import { codeOf, isAt, workflow } from "./testing/task.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A host whose calls the test answers, each by its place. */
function host({ waits = false } = {}) {
  const asked: { method: string; answer: (value: Answer<unknown>) => void }[] = [];
  let hung = 0;
  const { carry, rest, stop } = listening(
    (method) => new Promise((answer) => asked.push({ method, answer })),
    () => waits,
    () => {
      hung += 1;
    },
  );
  return { asked, carry, rest, stop, hung: () => hung, methods: () => asked.map(({ method }) => method) };
}
/** For the tests of one `describe`, which say themselves when time is to stand still. */
let browser: Browser;
function useBrowser(): void {
  beforeEach(() => {
    vi.useRealTimers();
    browser = createBrowser();
  });
  afterEach(() => {
    vi.useRealTimers();
    browser.end();
  });
}
/** Of the workers that were made. */
const names = () => browser.made.map(({ name }) => name);
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe("a call that is not answered", () => {
  test("makes the page ask after five seconds whether the host is there", async () => {
    const { carry, methods } = host();
    void carry("cancel", ["t"]);
    await pass(4_900);
    expect(methods()).toEqual(["cancel"]);
    await pass(200);
    expect(methods()).toEqual(["cancel", "diagnostics"]);
  });

  test("is waited for as long as the host says that it is there", async () => {
    const { carry, asked, hung } = host();
    void carry("cancel", ["t"]);
    for (let round = 1; round <= 6; round += 1) {
      await pass(5_000);
      asked[round]?.answer({ ok: null });
    }
    await pass(1_000);
    expect([asked.length, hung()]).toEqual([7, 0]);
  });

  test("means a hung host, once, when that is not answered either", async () => {
    const { carry, hung } = host();
    void carry("cancel", ["t"]);
    await pass(14_900);
    expect(hung()).toBe(0);
    await pass(200);
    await pass(60_000);
    expect(hung()).toBe(1);
  });

  test("means nothing when it is answered in time, or nobody watches any more", async () => {
    const { carry, asked, methods, stop, hung } = host();
    void carry("clientId", ["s"]);
    asked[0]?.answer({ ok: "id" });
    await pass(60_000);
    expect(methods()).toEqual(["clientId"]);
    void carry("clientId", ["s"]);
    stop();
    await pass(60_000);
    expect(hung()).toBe(0);
  });
});

describe("a page that only waits for its tasks", () => {
  test("asks every fifteen seconds whether the host is there", async () => {
    const { asked, rest, methods, hung } = host({ waits: true });
    rest();
    await pass(15_000);
    asked[0]?.answer({ ok: null });
    await pass(15_000);
    asked[1]?.answer({ ok: null });
    await pass(10_000);
    expect(methods()).toEqual(["diagnostics", "diagnostics"]);
    expect(hung()).toBe(0);
  });

  test("leaves a host that says nothing", async () => {
    const { rest, hung } = host({ waits: true });
    rest();
    await pass(29_900);
    expect(hung()).toBe(0);
    await pass(200);
    expect(hung()).toBe(1);
  });

  test("counts from its last call", async () => {
    const { carry, asked, methods } = host({ waits: true });
    void carry("submit", ["task"]);
    asked[0]?.answer({ ok: null });
    await pass(14_900);
    expect(methods()).toEqual(["submit"]);
    await pass(200);
    expect(methods()).toEqual(["submit", "diagnostics"]);
  });

  test("does not ask where it waits for nothing, or no longer listens", async () => {
    const [idle, left] = [host(), host({ waits: true })];
    left.stop();
    for (const one of [idle, left]) one.rest();
    await pass(60_000);
    expect([...idle.methods(), ...left.methods()]).toEqual([]);
  });
});

describe("the generation of a worker's name", () => {
  const platformWith = (storage: Storage) => ({ sharedStorage: () => storage }) as never;

  test("is the first, and another one for all tabs when a worker of it hangs", () => {
    const storage = memoryStorage();
    const [anna, ben] = [0, 1].map(() => createGeneration(platformWith(storage), "app"));
    expect(anna?.current()).toBe(1);
    expect(anna?.leave(1)).toBe(2);
    expect(ben?.leave(1)).toBe(2);
    expect(ben?.current()).toBe(2);
    expect(storage.getItem(generationKey("app"))).toBe("2");
    expect([workerName("app"), workerName("app", 2)]).toEqual(["comfy-tabs/1/app", "comfy-tabs/1/app#2"]);
  });

  test("is told again by a page that knows it, where somebody has cleared the storage", () => {
    const storage = memoryStorage();
    const anna = createGeneration(platformWith(storage), "app");
    anna.leave(1);
    storage.clear();
    expect(anna.current()).toBe(2);
    expect(createGeneration(platformWith(storage), "app").current()).toBe(2);
  });

  test("counts in the page where the storage is denied", () => {
    const denied = {
      sharedStorage: () => {
        throw new Error("denied");
      },
    } as never;
    const generation = createGeneration(denied, "app");
    expect(generation.leave(1)).toBe(2);
    expect(generation.current()).toBe(2);
  });
});

describe("a worker that hangs", () => {
  useBrowser();

  test("is left by every tab for one of the next generation, and calls are repeated there", async () => {
    const mute = scriptedRealm({ diagnostics: () => undefined });
    browser.workersAre(() => mute.realm);
    const [anna, ben] = [await browser.openPage().connect(), await browser.openPage().connect()];
    const modes: string[] = [];
    ben.on("mode", ({ epoch }) => modes.push(epoch));
    browser.workersAreReal();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const clientId = anna.clientId("http://comfy.test");
    await vi.advanceTimersByTimeAsync(16_000);
    vi.useRealTimers();
    expect(await clientId).toMatch(/^epoch-/);
    expect(browser.made.map(({ name }) => name)).toEqual([
      "comfy-tabs/1/comfy-tabs",
      "comfy-tabs/1/comfy-tabs#2",
    ]);
    await expect.poll(() => modes.length).toBe(2);
    expect((await ben.diagnostics()).epoch).toBe((await anna.diagnostics()).epoch);
  });
});

describe("a worker that is busy", () => {
  useBrowser();

  /** With time for messages between. */
  async function passSlowly(seconds: number): Promise<void> {
    for (let passed = 0; passed < seconds * 4; passed += 1) {
      await pass(250);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  test("and says so is waited for by connect for 15 s, on one port, and not taken for hung", async () => {
    const busy = scriptedRealm({ hello: () => undefined });
    browser.workersAre(() => busy.realm);
    const page = browser.openPage();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const failed = codeOf(page.connect());
    await passSlowly(15);
    expect(await failed).toBe("timeout");
    expect([page.ports.length, names()]).toEqual([1, ["comfy-tabs/1/comfy-tabs"]]);
    void codeOf(page.connect());
    expect(names()).toEqual(["comfy-tabs/1/comfy-tabs"]);
  });

  test("is waited for without end by a page that has had a host, as long as it says that it is there", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    let welcome = (_: unknown): void => {};
    const busy = scriptedRealm({
      hello: () =>
        new Promise((resolve) => {
          welcome = resolve;
        }),
    });
    browser.workersAre(() => busy.realm);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    browser.killWorkers();
    await expect.poll(() => busy.hellos().length).toBe(1);
    await passSlowly(60);
    vi.useRealTimers();
    welcome({ ok: greeting("scripted") });
    expect(await session.diagnostics()).toMatchObject({ tabId: session.tabId });
    expect([page.ports.length, busy.hellos().length, names().at(-1)]).toEqual([
      2,
      1,
      "comfy-tabs/1/comfy-tabs",
    ]);
  });
});

describe("a worker that does not answer one page, and answers others", () => {
  useBrowser();

  /** A page whose next ports died with the worker that they led to: nobody answers, and nobody tells. */
  function pageWithDeadPorts(count: number) {
    const page = browser.openPage();
    const { makeShared } = page.platform;
    let dead = count;
    page.platform.makeShared = (source, name) => {
      if (dead === 0) return makeShared!(source, name);
      dead -= 1;
      const { port1: port, port2: other } = new MessageChannel();
      page.ports.push({ port, failed: new Promise(() => {}), close: () => other.close() });
      return page.ports.at(-1)!;
    };
    return page;
  }

  test("is called by the same name once more after five seconds", async () => {
    const anna = await browser.openPage().connect();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const connecting = pageWithDeadPorts(1).connect();
    await vi.advanceTimersByTimeAsync(5_000);
    vi.useRealTimers();
    const ben = await connecting;
    expect((await ben.diagnostics()).epoch).toBe((await anna.diagnostics()).epoch);
    expect(names()).toEqual(["comfy-tabs/1/comfy-tabs"]);
  });

  test("is left by all when it does not answer then either: no two hosts do the same work", async () => {
    const anna = await browser.openPage().connect();
    const task = await anna.submit(workflow);
    await isAt(task, "queued");
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const page = pageWithDeadPorts(2);
    const first = codeOf(page.connect());
    await vi.advanceTimersByTimeAsync(15_000);
    vi.useRealTimers();
    expect(await first).toBe("timeout");
    const before = (await anna.diagnostics()).epoch;

    const ben = await page.connect();
    const { epoch } = await ben.diagnostics();
    await expect.poll(async () => (await anna.diagnostics()).epoch).toBe(epoch);
    expect(epoch).not.toBe(before);
    expect(names()).toEqual(["comfy-tabs/1/comfy-tabs", "comfy-tabs/1/comfy-tabs#2"]);
    await expect.poll(browser.comfy.liveSockets).toBe(1);
    browser.comfy.finish(task.promptId ?? "");
    expect((await task.result()).taskId).toBe(task.id);
    expect(browser.comfy.prompts).toHaveLength(1);
  });

  test("is left for good by a page that can write that nowhere", async () => {
    const page = pageWithDeadPorts(2);
    page.platform.sharedStorage = () => {
      throw new Error("full");
    };
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const failed = codeOf(page.connect());
    await vi.advanceTimersByTimeAsync(15_000);
    vi.useRealTimers();
    expect(await failed).toBe("timeout");
    await page.connect();
    expect(names()).toEqual(["comfy-tabs/1/comfy-tabs#2"]);
  });

  test("does not come back when another host of the next generation ends, as another release has one", async () => {
    const page = pageWithDeadPorts(2);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const failed = codeOf(page.connect());
    await vi.advanceTimersByTimeAsync(15_000);
    vi.useRealTimers();
    await failed;
    await page.connect();
    browser.forgetWorkers();
    const other = await browser.openPage().connect();
    expect(names()).toEqual(["comfy-tabs/1/comfy-tabs#2", "comfy-tabs/1/comfy-tabs#2"]);
    const former = () => browser.locks.isHeld("comfy-tabs/1/comfy-tabs");
    expect(former()).toBe(true);
    await other.close();
    browser.killWorkers();
    await expect.poll(former).toBe(true);
  });

  test("starts no more for a page that does not know that it was left, which comes along", async () => {
    const anna = await browser.openPage().connect();
    const moved = pageWithDeadPorts(2);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const failed = codeOf(moved.connect());
    await vi.advanceTimersByTimeAsync(15_000);
    await failed;
    vi.useRealTimers();
    await moved.connect();
    const { epoch } = await anna.diagnostics();

    const own = memoryStorage();
    const unknowing = browser.openPage(undefined, { sharedStorage: () => own });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const refused = codeOf(unknowing.connect());
    await vi.advanceTimersByTimeAsync(15_000);
    vi.useRealTimers();
    expect(await refused).toBe("timeout");
    expect((await (await unknowing.connect()).diagnostics()).epoch).toBe(epoch);
    expect((await anna.diagnostics()).epoch).toBe(epoch);
    await expect.poll(browser.comfy.liveSockets).toBe(1);
  });
});
