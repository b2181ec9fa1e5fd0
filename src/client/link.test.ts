import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { identityKey, journalLossKey } from "../protocol/names.ts";
import type { HostEvent, KnownTask } from "../protocol/session-api.ts";
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

describe("the death of the host", () => {
  test("does not break a task's iterator, nor its ending", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect();
    const task = await session.submit(workflow);
    const kinds = kindsOf(task);
    await isAt(task, "queued");
    const promptId = task.promptId ?? "";
    comfy.start(promptId);
    for (let value = 1; value <= 9; value += 1) {
      comfy.progress(promptId, value);
      await expect.poll(() => task.progress?.value).toBe(value);
    }
    const modes: string[] = [];
    session.on("mode", ({ epoch }) => modes.push(epoch));
    browser.killWorkers();
    await expect.poll(() => modes).toEqual(["epoch-1", "epoch-2"]);
    expect([task.status, session.tasks()]).toEqual(["running", [task]]);
    await expect.poll(comfy.liveSockets).toBe(1);
    await expect.poll(() => comfy.requests.filter((one) => one.includes("/queue")).length).toBeGreaterThan(0);
    comfy.finish(promptId);
    expect(await kinds).toContain("succeeded");
    expect(comfy.prompts).toHaveLength(1);
  });

  test("lets calls wait for the next host, which hears them in their order", async () => {
    const session = await browser.openPage().connect();
    const silent = scriptedRealm();
    browser.killWorkers();
    browser.workersAre(() => silent.realm);
    const [first, second] = [session.clientId("http://comfy.test"), session.diagnostics()];
    expect(await second).toMatchObject({ tabId: session.tabId });
    expect(silent.calls.map(({ method }) => method)).toEqual(["hello", "clientId", "diagnostics"]);
    await session.close();
    expect(await codeOf(first)).toBe("closed");
  });

  test("is told to the next host with the newest of every open task, and nothing of settled ones", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const session = await page.connect();
    const [open, settled] = [
      await session.submit(workflow, { label: "open" }),
      await session.submit(workflow),
    ];
    await Promise.all([isAt(open, "queued"), isAt(settled, "queued")]);
    comfy.start(open.promptId ?? "");
    comfy.progress(open.promptId ?? "", 1);
    comfy.finish(settled.promptId ?? "");
    await settled.result();
    await expect.poll(() => open.progress).toBeDefined();
    let newest = 0;
    open.on("progress", ({ seq }) => {
      newest = seq;
    });
    await Promise.resolve();
    const next = scriptedRealm();
    browser.workersAre(() => next.realm);
    browser.killWorkers();
    await expect.poll(() => next.hellos().length).toBe(1);
    expect(next.hellos()[0].tasks).toEqual([
      {
        taskId: open.id,
        promptId: open.promptId,
        serverId: "http://comfy.test",
        label: "open",
        lastSeq: newest,
        settled: false,
      },
    ]);
  });

  test("that could not write any more is told to the next one, also by the tab's next page, and what was asked of it before", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const page = browser.openPage();
    page.platform.sharedStorage().setItem(journalLossKey("comfy-tabs"), "earlier");
    const session = await page.connect();
    session.submit(workflow).catch(() => {});
    await expect.poll(() => host.calls.at(-1)?.method).toBe("submit");
    host.say([{ kind: "journal", journal: "memory" }]);
    await expect.poll(() => host.envelopes.at(-1)).toEqual({ comfyTabs: "noted" });
    session.submit(workflow).catch(() => {});
    await expect.poll(() => host.calls.length).toBe(3);
    page.crash();
    await browser.openPage(page.storage).connect();
    const { losses, tasks } = host.hellos().at(-1);
    expect([losses, ...tasks.map((task: KnownTask) => task.lastLoss)]).toEqual([
      "earlier scripted",
      undefined,
      undefined,
    ]);
  });

  test("that could not write any more is told what was asked of it while it was greeted, with its own loss noted", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    page.platform.sharedStorage().setItem(journalLossKey("comfy-tabs"), "failing");
    const failing = scriptedRealm(
      {
        hello() {
          session.submit(workflow).catch(() => {});
          return { ok: { ...greeting("failing"), journal: "memory" } };
        },
      },
      "failing",
    );
    browser.workersAre(() => failing.realm);
    browser.killWorkers();
    await expect.poll(() => failing.calls.at(-1)?.method).toBe("submit");
    const next = scriptedRealm({}, "next");
    browser.workersAre(() => next.realm);
    browser.killWorkers();
    await expect.poll(() => next.hellos().length).toBe(1);
    expect(next.hellos()[0]).toMatchObject({ losses: "failing", tasks: [{ lastSeq: 0 }] });
    expect(next.hellos()[0].tasks[0]).not.toHaveProperty("lastLoss");
  });

  test("that has to find out again how a task ended is told by the tab's next page, too, that it has", async () => {
    const known = { taskId: "task-1", promptId: "p", lastSeq: 9, settled: true };
    const page = browser.openPage();
    page.storage.setItem(
      identityKey("comfy-tabs"),
      JSON.stringify({ tabId: "tab", secret: "s", tasks: [known] }),
    );
    const open = { taskId: "task-1", status: "submitting", seq: 1009, createdAt: 1, events: [] };
    const host = scriptedRealm({ hello: () => ({ ok: { ...greeting("scripted"), tasks: [open] } }) });
    browser.workersAre(() => host.realm);
    await page.connect();
    const { tasks } = JSON.parse(page.storage.getItem(identityKey("comfy-tabs")) ?? "");
    expect(tasks).toMatchObject([{ taskId: "task-1", lastSeq: 1009, settled: true }]);
  });

  test("that could not write any more is noted before it goes on, and told by pages that never heard of it", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const [anna, ben] = [browser.openPage(), browser.openPage()];
    await anna.connect();
    host.say([{ kind: "journal", journal: "memory" }]);
    await expect.poll(() => host.envelopes.at(-1)).toEqual({ comfyTabs: "noted" });
    const next = scriptedRealm({}, "next");
    browser.workersAre(() => next.realm);
    browser.killWorkers();
    const session = await ben.connect();
    session.submit(workflow).catch(() => {});
    await expect.poll(() => next.calls.at(-1)?.method).toBe("submit");
    expect(next.hellos().map(({ losses }) => losses)).toEqual(["scripted", "scripted"]);
    const { tasks } = JSON.parse(ben.storage.getItem(identityKey("comfy-tabs")) ?? "");
    expect(tasks).toMatchObject([{ lastLoss: "scripted" }]);
  });

  test("that says in its welcome that it cannot write is noted, too, before anything is asked of it", async () => {
    const host = scriptedRealm({ hello: () => ({ ok: { ...greeting("scripted"), journal: "memory" } }) });
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    await session.diagnostics();
    expect(host.envelopes).toEqual([{ comfyTabs: "noted" }, { comfyTabs: "locked" }]);
  });

  test("that could not write any more is told what has ended there, until a next one can write", async () => {
    const open = ["task-1", "task-2"].map((taskId) => ({
      ...{ taskId, status: "submitting", seq: 0, createdAt: 1, events: [] },
    }));
    const forgetful = scriptedRealm({
      hello: () => ({ ok: { ...greeting("scripted"), tasks: open, journal: "memory" } }),
      dismiss: () => ({ ok: null }),
    });
    browser.workersAre(() => forgetful.realm);
    const page = browser.openPage();
    const session = await page.connect();
    for (const { taskId } of open)
      forgetful.say([
        ...[
          { type: "warning", code: "journal-in-memory", message: "" },
          { type: "cancelled", by: "owner" },
        ].map(
          (event, place) =>
            ({ kind: "task", event: { ...event, seq: place + 1, taskId, at: 1 } }) as HostEvent,
        ),
      ]);
    await Promise.all(session.tasks().map((task) => task.result().catch(() => {})));
    await session.task("task-2")?.dismiss();
    const next = scriptedRealm();
    browser.workersAre(() => next.realm);
    browser.killWorkers();
    await expect.poll(() => next.hellos().length).toBe(1);
    expect(next.hellos()[0].tasks).toEqual([
      { taskId: "task-1", lastSeq: 2, settled: true },
      { taskId: "task-2", lastSeq: 0, settled: true, dismissed: true },
    ]);
    browser.killWorkers();
    await expect.poll(() => next.hellos().length).toBe(2);
    expect(next.hellos()[1].tasks).toEqual([]);
  });

  test("is survived also when the next hosts cannot be had at once", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const { makeShared } = page.platform;
    let tries = 0;
    page.platform.makeShared = (source, name) => {
      tries += 1;
      if (tries === 1) throw new Error("not now");
      return makeShared?.(source, name) as never;
    };
    browser.killWorkers();
    expect(await session.diagnostics()).toMatchObject({ epoch: "epoch-2" });
    expect(tries).toBe(2);
  });

  test("ends calls with version-mismatch when the next host speaks another language", async () => {
    const session = await browser.openPage().connect();
    const details = { ours: "2.0", theirs: "1.0" };
    const stranger = scriptedRealm({
      hello: () => ({ error: { code: "version-mismatch", message: "No.", details } }),
    });
    browser.workersAre(() => stranger.realm);
    browser.killWorkers();
    await expect(session.diagnostics()).rejects.toMatchObject({ code: "version-mismatch", details });
  });

  test("is noticed by its silence where there are no locks, in minutes", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    browser = createBrowser({ hasLocks: false });
    const session = await browser.openPage().connect();
    const { tabId } = session;
    const task = await session.submit(workflow);
    const epochs: string[] = [];
    session.on("mode", ({ epoch }) => epochs.push(epoch));
    const pass = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second += 1) {
        await vi.advanceTimersByTimeAsync(1_000);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await pass(300);
    expect(epochs).toEqual(["epoch-1"]);
    browser.killWorkers();
    await pass(119);
    expect(epochs).toEqual(["epoch-1"]);
    await pass(40);
    expect(epochs).toEqual(["epoch-1", "epoch-2"]);
    expect([session.tabId, session.tasks()]).toEqual([tabId, [task]]);
    await session.close();
  });

  test("is not tried to be survived after close, not even in the middle of a handshake", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const silent = scriptedRealm({ hello: () => undefined });
    browser.workersAre(() => silent.realm);
    browser.killWorkers();
    const call = codeOf(session.diagnostics());
    await expect.poll(() => silent.hellos().length).toBe(1);
    await session.close();
    expect(await call).toBe("closed");
    await expect.poll(() => silent.envelopes.map(({ comfyTabs }) => comfyTabs)).toEqual(["goodbye"]);
    expect(browser.locks.names()).toEqual(["comfy-tabs/host/scripted"]);
  });
});

describe("another host on the same port", () => {
  test("is greeted on a port of its own, and calls under way are repeated there", async () => {
    const first = scriptedRealm({ clientId: () => undefined });
    browser.workersAre(() => first.realm);
    const session = await browser.openPage().connect();
    const call = session.clientId("http://comfy.test");
    await expect.poll(() => first.calls.length).toBe(2);
    const second = scriptedRealm({ clientId: () => ({ ok: "client-2" }) }, "restarted");
    browser.workersAre(() => second.realm);
    browser.forgetWorkers();
    first.say([], "restarted");
    expect(await call).toBe("client-2");
    expect(second.hellos()).toHaveLength(1);
    await expect.poll(() => first.envelopes.map(({ comfyTabs }) => comfyTabs)).toEqual(["locked", "goodbye"]);
  });
});

describe("a new tab", () => {
  /** Its browser answers for the locks of ports when the test says so. */
  function openHeldUp() {
    const page = browser.openPage();
    const { locks } = page.platform;
    let answer = { grant(): void {}, refuse(): void {} };
    const answered = new Promise<void>((grant, reject) => {
      answer = { grant, refuse: () => reject(new Error("SecurityError")) };
    });
    page.platform.locks = locks && {
      async request(name: string, ...how: [object, () => Promise<void>]) {
        if (name.startsWith("comfy-tabs/tab/")) await answered;
        return locks.request(name, ...how);
      },
    };
    return { ...page, ...answer };
  }
  const saidIn = ({ hellos }: ReturnType<typeof scriptedRealm>) =>
    hellos().map(({ hasLock, hasLockSoon, isNew }) => ({ hasLock, hasLockSoon, isNew }));
  const early = { hasLock: false, hasLockSoon: true, isNew: true };

  test("is welcome before it has its lock, and asks for nothing until it has said that it has it", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const page = openHeldUp();
    const session = await page.connect();
    expect(saidIn(host)).toEqual([early]);
    const call = session.diagnostics();
    await new Promise((resolve) => setImmediate(resolve));
    expect([host.calls.length, host.envelopes]).toEqual([1, []]);
    page.grant();
    await call;
    expect([host.calls.length, host.envelopes]).toEqual([2, [{ comfyTabs: "locked" }]]);
  });

  test("whose browser refuses it the lock says so on another port", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const page = openHeldUp();
    const session = await page.connect();
    page.refuse();
    await session.diagnostics();
    expect(saidIn(host)).toEqual([early, { hasLock: false, hasLockSoon: false, isNew: false }]);
    expect(host.envelopes).toEqual([{ comfyTabs: "goodbye" }]);
  });

  test("that meets an older host greets it once more, with the lock in hand", async () => {
    const host = scriptedRealm({
      hello: () => ({ ok: { ...greeting("scripted"), protocol: { major: 1, minor: 0 } } }),
    });
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    await session.diagnostics();
    expect(saidIn(host)).toEqual([early, { hasLock: true, hasLockSoon: false, isNew: false }]);
    expect(host.envelopes).toEqual([{ comfyTabs: "goodbye" }]);
  });

  test("alone with its host waits for the lock, as one that is loaded anew does", async () => {
    const page = browser.openPage();
    const [alone, shared] = [scriptedRealm(), scriptedRealm()];
    browser.workersAre(() => alone.realm);
    await page.connect({ mode: "solo" });
    expect(saidIn(alone)).toEqual([{ hasLock: true, hasLockSoon: false, isNew: true }]);
    page.crash();
    browser.workersAre(() => shared.realm);
    await browser.openPage(page.storage).connect();
    expect(saidIn(shared)).toEqual([{ hasLock: true, hasLockSoon: false, isNew: false }]);
  });

  test("that dies before it has said that it has its lock is given up by its host", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const page = openHeldUp();
    await page.connect();
    const [{ epoch }, other] = [browser.realms[0]!, await browser.openPage().connect()];
    expect(await other.diagnostics()).toMatchObject({ epoch, tabs: 2 });
    page.crash();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await other.diagnostics()).toMatchObject({ epoch, tabs: 1 });
  });
});

describe("a tab's id that the host gives to another page", () => {
  test("is renewed, and the tab says hello again as a new one", async () => {
    let taken = "";
    const host = scriptedRealm({
      hello: (json) => {
        const { tabId } = JSON.parse(json as string);
        taken ||= tabId;
        return {
          ok: tabId === taken ? { refused: "tab-id-taken", epoch: "scripted" } : greeting("scripted"),
        };
      },
    });
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    const [first, second] = host.hellos();
    expect([second.tabId, second.tabId === taken]).toEqual([session.tabId, false]);
    expect(second.tabSecret).not.toBe(first.tabSecret);
  });

  test("is what tells a duplicate without Web Locks: it forgets the tasks of its original", async () => {
    browser = createBrowser({ hasLocks: false });
    const original = browser.openPage();
    const session = await original.connect();
    const task = await session.submit(workflow);
    const duplicate = await browser.openPage(copyOf(original.storage)).connect();
    expect(duplicate.tabId).not.toBe(session.tabId);
    expect([duplicate.tasks(), session.tasks()]).toEqual([[], [task]]);
  });
});

describe.each(["shared", "solo"] as const)("without Web Locks, in %s mode, a tab", (mode) => {
  test("is told from its copy by asking", async () => {
    browser = createBrowser({ hasLocks: false, hasChannels: true });
    const original = browser.openPage();
    const session = await original.connect({ mode });
    const task = await session.submit(workflow);
    const copy = await browser.openPage(copyOf(original.storage)).connect({ mode });
    expect(copy.tabId).not.toBe(session.tabId);
    expect([copy.tasks(), session.tasks()]).toEqual([[], [task]]);
  });

  test("that comes back from a crash is itself, though its former port may be alive for all that is known", async () => {
    browser = createBrowser({ hasLocks: false, hasChannels: true });
    await browser.openPage().connect({ mode });
    const page = browser.openPage();
    const session = await page.connect({ mode });
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    page.crash();
    const again = await browser.openPage(copyOf(page.storage)).connect({ mode });
    expect(again.tabId).toBe(session.tabId);
    expect(again.tasks().map(({ id }) => id)).toEqual([task.id]);
  });
});

describe("a host's refusal of this page's own former port", () => {
  test("passes, and the tab keeps its id and its tasks", async () => {
    const session = await browser.openPage().connect();
    const task = await session.submit(workflow);
    let hellos = 0;
    const next = scriptedRealm({
      hello: () => {
        hellos += 1;
        return { ok: hellos === 1 ? { refused: "tab-id-taken", epoch: "scripted" } : greeting("scripted") };
      },
    });
    browser.workersAre(() => next.realm);
    browser.killWorkers();
    expect(await session.diagnostics()).toMatchObject({ tabId: session.tabId });
    expect(new Set(next.hellos().map(({ tabId }) => tabId))).toEqual(new Set([session.tabId]));
    expect(session.tasks()).toEqual([task]);
  });
});
