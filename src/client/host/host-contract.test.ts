import "fake-indexeddb/auto";
import { IDBFactory as FakeFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { HostMode } from "../../protocol/session-api.ts";
import type { ConnectOptions, Session } from "../api.ts";
import { connectOn, createPages } from "../connect.ts";
import { type Comfy, createComfy } from "../testing/comfy.ts";
import { copyOf, memoryStorage } from "../testing/storage.ts";
import { codeOf, isAt, kindsOf, workflow } from "../testing/task.ts";
import { createWorkers, type Workers, workerUrl } from "../testing/workers.ts";
import { sharedHost } from "./shared.ts";
import { soloHost } from "./solo.ts";

let comfy: Comfy;
let workers: Workers;
const sessions = new Set<Session>();
const sharedStorage = memoryStorage();

beforeEach(async () => {
  comfy = createComfy();
  workers = await createWorkers(comfy, new FakeFactory());
  vi.stubGlobal("SharedWorker", workers.SharedWorker);
  vi.stubGlobal("Worker", workers.Worker);
});
afterEach(async () => {
  for (const session of sessions) await session.close(); // else it looks for another host
  sessions.clear();
  workers.kill();
  vi.unstubAllGlobals();
});

/** A page with the real ways to a host. */
function openPage(storage: Storage = memoryStorage()) {
  const platform = {
    locks: workers.openLocks(),
    whenShown: undefined,
    openChannel: undefined,
    frame: "",
    storage: () => storage,
    sharedStorage: () => sharedStorage,
    makeShared: sharedHost,
    makeSolo: soloHost,
    onPageEvent: () => () => {},
    askForAccess: async () => {},
    randomBytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)),
  };
  async function connect(options: Partial<ConnectOptions>): Promise<Session> {
    const session = await connectOn(() => platform, createPages(), {
      servers: ["http://comfy.test"],
      logger: "silent",
      worker: workerUrl,
      ...options,
    });
    sessions.add(session);
    return session;
  }
  return { storage, connect };
}

/** What both kinds of host owe to a page, and where they may differ. */
const kinds = [
  { mode: "shared", other: "solo", worker: "shared", socketsOfTwo: 1 },
  { mode: "solo", other: "shared", worker: "dedicated", socketsOfTwo: 2 },
] as const satisfies readonly { mode: HostMode; other: HostMode; worker: string; socketsOfTwo: number }[];

describe.each(kinds.map((kind) => [kind.mode, kind] as const))(
  "a %s host",
  (mode, { other, worker, socketsOfTwo }) => {
    const connect = (storage?: Storage) => openPage(storage).connect({ mode });

    test("is started from the worker's file, and says which kind it is", async () => {
      const session = await connect();
      expect(await session.diagnostics()).toMatchObject({ mode, journal: "indexeddb", build: "test" });
      expect(workers.started).toEqual([worker]);
    });

    test("runs a task, and tells all of it in order and its ending once", async () => {
      const session = await connect();
      const task = await session.submit(workflow, { label: "mine" });
      const heard = kindsOf(task);
      await isAt(task, "queued");
      comfy.start(task.promptId ?? "");
      comfy.progress(task.promptId ?? "", 3);
      comfy.finish(task.promptId ?? "");
      expect(await task.result()).toMatchObject({ taskId: task.id, serverId: "http://comfy.test" });
      const told = await heard;
      expect(told.filter((kind) => kind !== "progress")).toEqual(["accepted", "started", "succeeded"]);
    });

    test("tells a tab nothing of another one's tasks", async () => {
      const [anna, ben] = [await connect(), await connect()];
      const task = await anna.submit(workflow);
      await isAt(task, "queued");
      comfy.start(task.promptId ?? "");
      comfy.finish(task.promptId ?? "");
      await task.result();
      expect(await ben.diagnostics()).toMatchObject({ tasks: { open: 0, settled: 0 } });
      expect(ben.tasks()).toEqual([]);
      await expect.poll(comfy.liveSockets).toBe(socketsOfTwo);
    });

    test("cancels a task of its tab, and no other", async () => {
      const [anna, ben] = [await connect(), await connect()];
      const [hers, his] = [await anna.submit(workflow), await ben.submit(workflow)];
      await Promise.all([isAt(hers, "queued"), isAt(his, "queued")]);
      expect(await hers.cancel()).toBe(true);
      expect(await codeOf(hers.result())).toBe("cancelled");
      comfy.finish(his.promptId ?? "");
      expect((await his.result()).taskId).toBe(his.id);
    });

    test("answers a bad call with what is wrong with it", async () => {
      const session = await connect();
      expect(await codeOf(session.submit(workflow, { server: "http://nowhere.test" }))).toBe("not-found");
      expect(await codeOf(session.submit(workflow, { front: "yes" as never }))).toBe("invalid-option");
    });

    test("that dies is followed by another, which knows the tab and its tasks", async () => {
      const session = await connect();
      const task = await session.submit(workflow);
      await isAt(task, "queued");
      const { epoch } = await session.diagnostics();
      workers.kill();
      expect((await session.diagnostics()).epoch).not.toBe(epoch);
      comfy.finish(task.promptId ?? "");
      expect((await task.result()).taskId).toBe(task.id);
      expect([workers.started, comfy.prompts.length]).toEqual([[worker, worker], 1]);
    });

    test("hands a tab's tasks on to a host of the other kind when its page is loaded anew", async () => {
      const page = openPage();
      const session = await page.connect({ mode });
      const [ended, open] = [await session.submit(workflow), await session.submit(workflow)];
      await Promise.all([isAt(ended, "queued"), isAt(open, "queued")]);
      comfy.start(ended.promptId ?? "");
      comfy.finish(ended.promptId ?? "");
      await ended.result();
      await session.close();
      const again = await openPage(copyOf(page.storage)).connect({ mode: other });
      expect(again.tabId).toBe(session.tabId);
      expect(again.task(ended.id)?.status).toBe("succeeded");
      comfy.finish(open.promptId ?? "");
      expect((await again.task(open.id)?.result())?.taskId).toBe(open.id);
      expect(comfy.prompts).toHaveLength(2);
    });

    test("keeps no socket for a page that has closed its session", async () => {
      const session = await connect();
      await expect.poll(comfy.liveSockets).toBe(1);
      await session.close();
      await expect.poll(comfy.liveSockets).toBe(0);
      expect(await codeOf(session.diagnostics())).toBe("closed");
    });

    test("whose file does not load is told as missing, and leaves nothing behind", async () => {
      const page = openPage();
      const failed = page.connect({ mode, worker: "http://app.test/moved.js" });
      expect(await codeOf(failed)).toBe("unsupported-environment");
      expect(workers.started).toEqual([]);
      expect((await page.connect({ mode })).tabId).not.toBe("");
    });
  },
);

test("a shared host locks servers between tabs, a solo host says that it cannot", async () => {
  const lock = async (mode: HostMode) =>
    codeOf((await openPage().connect({ mode })).lockServer("http://comfy.test", { mode: "exclusive" }));
  expect([await lock("shared"), await lock("solo")]).toEqual(["resolved", "unsupported-environment"]);
});

test("a solo host takes the place of a shared one that does not load, and says why", async () => {
  const makeWorker = (kind: "shared" | "dedicated") =>
    kind === "shared" ? new SharedWorker("http://app.test/moved.js") : new Worker(workerUrl);
  const session = await openPage().connect({ mode: "auto", worker: makeWorker });
  const { mode, reason } = await session.diagnostics();
  expect([mode, reason]).toEqual(["solo", "the worker could not be loaded"]);
});
