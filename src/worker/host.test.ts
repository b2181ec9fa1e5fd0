import "fake-indexeddb/auto";
import { wrap } from "comlink";
import { IDBFactory as FakeFactory } from "fake-indexeddb";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Epoch, PortId } from "../protocol/ids.ts";
import { hostLock, journalName, tabLock, workerName } from "../protocol/names.ts";
import type { EventEnvelope, Hello, SessionApi } from "../protocol/session-api.ts";
import { createHost } from "./host.ts";
import { newEntry } from "./journal/journal-contract.ts";
import { openJournal } from "./journal/open-journal.ts";
import type { LocksLike } from "./page-lock.ts";
import type { BlockOf, FetchLike } from "./server/http.ts";
import type { SocketLike } from "./server/socket.ts";
import { after } from "./timers.ts";

const workflow = '{"1":{"class_type":"SaveImage","inputs":{}}}';
const promptId = "00000000-0000-4000-8000-000000000001";

/** Grants each name to one at a time, in turn, as the platform does; `free` is the death of the holder. */
function fakeLocks() {
  const queues = new Map<string, (() => void)[]>();
  const holders = new Set<string>();
  const requested: string[] = [];
  const locks: LocksLike = {
    request(name, { mode }, granted) {
      if (mode === "shared") return new Promise(() => {});
      requested.push(name);
      const grant = (): void => {
        holders.add(name);
        void granted({ name });
      };
      if (holders.has(name)) queues.set(name, [...(queues.get(name) ?? []), grant]);
      else queueMicrotask(grant);
      return new Promise(() => {});
    },
  };
  return {
    locks,
    requested,
    hold: (name: string) => holders.add(name),
    free(name: string) {
      holders.delete(name);
      queues.get(name)?.shift()?.();
    },
  };
}

const asked = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const closers: (() => void)[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const close of closers.splice(0)) close();
});

interface Surroundings {
  readonly locks?: LocksLike;
  readonly fetch?: FetchLike;
  readonly blockOf?: BlockOf;
  readonly indexedDB?: () => IDBFactory;
  readonly epoch?: string;
}

function startHost({
  locks,
  fetch,
  blockOf = async () => undefined,
  indexedDB,
  epoch = "epoch-1",
}: Surroundings = {}) {
  const own: IDBFactory = new FakeFactory();
  const sockets: (SocketLike & { url: string; closed: boolean })[] = [];
  const log: string[] = [];
  const requests: string[] = [];
  const host = createHost({
    mode: "shared",
    epoch,
    name: workerName("atelier"),
    indexedDB: indexedDB ?? (() => own),
    fetch: (url, init) => {
      requests.push(`${init.method ?? "GET"} ${url}`);
      return (
        fetch ??
        (async () => new Response(JSON.stringify({ prompt_id: promptId, number: 1, node_errors: {} })))
      )(url, init);
    },
    blockOf,
    openSocket(url) {
      const socket = {
        url,
        closed: false,
        binaryType: "",
        onopen: null,
        onmessage: null,
        onclose: null,
        send() {},
        close() {
          socket.closed = true;
        },
      } as SocketLike & { url: string; closed: boolean };
      sockets.push(socket);
      return socket;
    },
    newRequest: undefined,
    locks,
    isLockFree: undefined,
    openChannel: undefined,
    afterThisTask: (then) => setImmediate(then),
    close() {},
    log: (_level, message) => log.push(message),
  });

  /** A page with its port: Comlink in front, everything that came on the port in `heard`, in order. */
  function openTab(name: string) {
    const { port1, port2 } = new MessageChannel();
    closers.push(() => {
      port1.close();
      port2.close();
    });
    const heard: ({ comfyTabs?: string; id?: string } & Partial<EventEnvelope>)[] = [];
    port2.addEventListener("message", ({ data }) => heard.push(data));
    const remote = wrap<SessionApi<Blob>>(port2);
    host.connect(port1);
    const hello: Hello = {
      protocol: { major: 1, minor: 0 },
      build: "test",
      portId: `port-${name}`,
      tabId: `tab-${name}`,
      tabSecret: `secret-${name}`,
      windowId: `window_1_${name}`,
      servers: [{ id: "main", url: "http://comfy.test", auth: { type: "bearer", token: "the-token" } }],
      tasks: [],
      previews: "newest",
      hasLock: locks !== undefined,
    };
    return {
      remote,
      heard,
      port: port2,
      hello: (more: Partial<Record<keyof Hello, unknown>> = {}) =>
        remote.hello(JSON.stringify({ ...hello, ...more })),
      taskEvents: () =>
        heard.flatMap(({ events = [] }) =>
          events.flatMap((event) => (event.kind === "task" ? [event.event.type] : [])),
        ),
    };
  }

  const say = (message: object): void => {
    const socket = sockets.at(-1);
    socket?.onmessage?.({ data: JSON.stringify(message) } as MessageEvent);
  };
  const openSocket = (): void => {
    sockets.at(-1)?.onopen?.({} as Event);
    say({ type: "status", data: { status: { exec_info: { queue_remaining: 0 } } } });
  };
  return { openTab, sockets, log, requests, say, openSocket };
}

describe("a host", () => {
  test("welcomes a tab, runs its task, and tells nobody else", async () => {
    const { openTab, say, openSocket, sockets } = startHost();
    const [anna, ben] = [openTab("anna"), openTab("ben")];
    expect(await anna.hello()).toMatchObject({ ok: { epoch: "epoch-1", mode: "shared", tasks: [] } });
    await ben.hello();
    openSocket();
    const submitted = await anna.remote.submit(JSON.stringify({ taskId: "task-1", promptId }), workflow);
    expect(submitted).toMatchObject({ ok: { taskId: "task-1", status: "submitting" } });
    await expect.poll(anna.taskEvents).toContain("accepted");
    say({ type: "execution_start", data: { prompt_id: promptId } });
    say({ type: "execution_success", data: { prompt_id: promptId } });
    say({ type: "executing", data: { node: null, prompt_id: promptId } });
    await expect.poll(anna.taskEvents).toEqual(["accepted", "started", "succeeded"]);
    expect(ben.taskEvents()).toEqual([]);
    expect(await ben.remote.cancel("task-1")).toMatchObject({ error: { code: "not-found" } });
    expect(sockets).toHaveLength(1);
  });

  test("gives a tab back the tasks of the host that died, from IndexedDB", async () => {
    const factory: IDBFactory = new FakeFactory();
    const dead = startHost({ indexedDB: () => factory });
    const before = dead.openTab("anna");
    await before.hello();
    await before.remote.submit(JSON.stringify({ taskId: "task-1", promptId, label: "mine" }), workflow);

    const { openTab } = startHost({ indexedDB: () => factory, epoch: "epoch-2" });
    const [anna, ben] = [openTab("anna"), openTab("ben")];
    expect(await anna.hello()).toMatchObject({
      ok: { epoch: "epoch-2", tasks: [{ taskId: "task-1", label: "mine" }] },
    });
    expect(await ben.hello()).toMatchObject({ ok: { tasks: [] } });
    expect(await anna.remote.diagnostics()).toMatchObject({ ok: { journal: "indexeddb" } });
  });

  test("asks after a tab's task where it was sent, though the tab does not name that server any more", async () => {
    const factory: IDBFactory = new FakeFactory();
    const dead = startHost({ indexedDB: () => factory });
    const before = dead.openTab("anna");
    await before.hello();
    dead.openSocket();
    await before.remote.submit(JSON.stringify({ taskId: "task-1", promptId }), workflow);
    await expect.poll(before.taskEvents).toContain("accepted");

    const { openTab, requests, sockets } = startHost({ indexedDB: () => factory, epoch: "epoch-2" });
    await openTab("anna").hello({ servers: [{ id: "other", url: "http://other.test" }] });
    await expect.poll(() => requests).toContain("GET http://comfy.test/queue");
    expect(sockets.map(({ url }) => new URL(url).host).sort()).toEqual(["comfy.test", "other.test"]);
  });

  test("ends the tasks of a page that has not come back since before the host started", async () => {
    const factory: IDBFactory = new FakeFactory();
    const former = openJournal({
      indexedDB: () => factory,
      name: workerName("atelier"),
      after,
      onDegraded: () => expect.unreachable(),
    });
    await former.write(newEntry({ cancelAt: Date.now() - 3_600_000, createdAt: Date.now() }), true);
    startHost({ indexedDB: () => factory });
    const db = await asked(factory.open(journalName(workerName("atelier")), 1));
    const read = () => asked(db.transaction("records").objectStore("records").get(["portrait", 2]));
    await expect.poll(read).toMatchObject({ generation: 2, settledAt: expect.any(Number) });
  });

  test.each([
    ["until a page has noted that", { major: 1, minor: 1 }, false],
    ["only for pages that know how to note that", { major: 1, minor: 0 }, true],
  ])("holds back prompts that no journal can have, %s", async (_, protocol, isSent) => {
    const { openTab, openSocket, requests } = startHost({
      indexedDB() {
        throw new DOMException("The operation is insecure.", "SecurityError");
      },
    });
    const anna = openTab("anna");
    await anna.hello({ protocol });
    openSocket();
    await anna.remote.submit(JSON.stringify({ taskId: "task-1", promptId }), workflow);
    await anna.remote.diagnostics();
    const post = "POST http://comfy.test/prompt";
    if (!isSent) {
      expect(requests).not.toContain(post);
      anna.port.postMessage({ comfyTabs: "noted" });
    }
    await expect.poll(() => requests).toContain(post);
  });

  test("serves tabs without a journal that outlives it, and says so", async () => {
    const { openTab, log } = startHost({
      indexedDB() {
        throw new DOMException("The operation is insecure.", "SecurityError");
      },
    });
    const anna = openTab("anna");
    await anna.hello();
    expect(await anna.remote.diagnostics()).toMatchObject({ ok: { journal: "memory" } });
    expect(log).toEqual(["the journal goes on in memory: SecurityError: The operation is insecure."]);
    await anna.remote.submit(JSON.stringify({ taskId: "task-1", promptId }), workflow);
    await expect.poll(anna.taskEvents).toContain("warning");
  });

  test("serves nobody before it holds its own lock", async () => {
    const { locks, requested, hold, free } = fakeLocks();
    const lock = hostLock("epoch-1" as Epoch);
    hold(lock);
    const { openTab } = startHost({ locks });
    const anna = openTab("anna");
    let welcomed = false;
    const welcome = anna.hello().then(() => {
      welcomed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([welcomed, requested]).toEqual([false, [lock]]);
    free(lock);
    await welcome;
  });

  test("waits for a tab's lock before it answers, and takes its grant for the tab's end", async () => {
    const { locks, requested, hold, free } = fakeLocks();
    const { openTab, sockets } = startHost({ locks });
    const lock = tabLock("port-anna" as PortId);
    hold(lock);
    const anna = openTab("anna");
    await anna.hello();
    expect(requested).toContain(lock);
    expect(sockets[0]?.closed).toBe(false);
    free(lock);
    expect(sockets[0]?.closed).toBe(true);
  });

  test("asks for the lock of a new tab when the tab says that it has it, not before", async () => {
    const { locks, requested, hold, free } = fakeLocks();
    const { openTab, sockets } = startHost({ locks });
    const lock = tabLock("port-anna" as PortId);
    const anna = openTab("anna");
    anna.port.postMessage({ comfyTabs: "locked" });
    await anna.hello({ hasLock: false, hasLockSoon: true });
    expect(requested).not.toContain(lock);
    hold(lock);
    anna.port.postMessage({ comfyTabs: "locked" });
    anna.port.postMessage({ comfyTabs: "locked" });
    await expect.poll(() => requested.filter((name) => name === lock)).toHaveLength(1);
    expect(sockets[0]?.closed).toBe(false);
    free(lock);
    expect(sockets[0]?.closed).toBe(true);
  });

  test("gives up a new tab that does not say so within ten seconds, and tells it to say hello on another port", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { locks, hold } = fakeLocks();
    const { openTab } = startHost({ locks });
    hold(tabLock("port-anna" as PortId));
    const [frozen, anna, left] = [openTab("frozen"), openTab("anna"), openTab("left")];
    for (const tab of [frozen, anna, left]) await tab.hello({ hasLock: false, hasLockSoon: true });
    anna.port.postMessage({ comfyTabs: "locked" });
    left.port.postMessage({ comfyTabs: "goodbye" });
    await expect.poll(() => anna.remote.diagnostics()).toMatchObject({ ok: { tabs: 2 } });
    await vi.advanceTimersByTimeAsync(9_000);
    expect(await anna.remote.diagnostics()).toMatchObject({ ok: { tabs: 2 } });
    await vi.advanceTimersByTimeAsync(1_000);
    await expect.poll(() => frozen.heard.at(-1)).toMatchObject({ epoch: "", events: [] });
    expect(await anna.remote.diagnostics()).toMatchObject({ ok: { tabs: 1 } });
    expect(left.heard).not.toContainEqual(expect.objectContaining({ epoch: "" }));
  });

  test("goes on with what it can where locks are refused", async () => {
    const { openTab, log } = startHost({
      locks: { request: () => Promise.reject(new Error("SecurityError")) },
    });
    expect(await openTab("anna").hello()).toMatchObject({ ok: { epoch: "epoch-1" } });
    expect(log).toEqual([
      "the host's lock cannot be held: Error: SecurityError",
      "no lock of a generation: Error: SecurityError",
      "no lock of a tab: Error: SecurityError",
    ]);
  });

  test("takes a goodbye at its word", async () => {
    const { openTab, sockets } = startHost();
    const anna = openTab("anna");
    await anna.hello();
    anna.port.postMessage({ comfyTabs: "goodbye" });
    await expect.poll(() => sockets[0]?.closed).toBe(true);
  });

  test("tells a page without a lock that has been silent for minutes to say hello on another port, with nothing after it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { openTab } = startHost();
    const [silent, anna] = [openTab("silent"), openTab("anna")];
    await Promise.all([silent.hello(), anna.hello()]);
    for (let minute = 0; minute < 7; minute += 1) {
      await anna.remote.diagnostics();
      await vi.advanceTimersByTimeAsync(60_000);
    }
    await expect.poll(() => silent.heard.at(-1)).toMatchObject({ epoch: "", events: [] });
    const told = silent.heard.length;
    silent.port.postMessage({ id: "late", type: "APPLY", path: ["diagnostics"], argumentList: [] });
    expect(await anna.remote.diagnostics()).toMatchObject({ ok: { tabs: 1 } });
    expect(silent.heard).toHaveLength(told);
  });

  test("tells a tab that it does not know its epoch, before the refusal", async () => {
    const { openTab } = startHost();
    const anna = openTab("anna");
    expect(await anna.remote.cancel("task-1")).toMatchObject({
      error: { code: "host-lost", details: { epoch: "epoch-1" } },
    });
    expect(anna.heard[0]).toEqual({ comfyTabs: "events", epoch: "epoch-1", batch: 0, events: [] });
  });

  test("takes one hello a port, and another only after a refusal of the tab's id", async () => {
    const { openTab } = startHost();
    const [anna, thief] = [openTab("anna"), openTab("thief")];
    await anna.hello();
    expect(await anna.hello()).toMatchObject({
      error: { code: "invalid-option", details: { option: "hello" } },
    });
    expect(await thief.hello({ tabId: "tab-anna" })).toMatchObject({ ok: { refused: "tab-id-taken" } });
    expect(await thief.remote.diagnostics()).toMatchObject({ error: { code: "host-lost" } });
    expect(await thief.hello()).toMatchObject({ ok: { epoch: "epoch-1" } });
  });

  test("refuses a hello of another major version, and one that cannot be read", async () => {
    const { openTab } = startHost();
    const anna = openTab("anna");
    expect(await anna.hello({ protocol: { major: 2, minor: 1 } })).toMatchObject({
      error: { code: "version-mismatch", details: { ours: "1.1", theirs: "2.1" } },
    });
    expect(await anna.remote.hello("{")).toMatchObject({ error: { details: { option: "hello" } } });
    expect(await anna.hello()).toMatchObject({ ok: { epoch: "epoch-1" } });
  });

  test("names the wrong field of a call", async () => {
    const { openTab } = startHost();
    const anna = openTab("anna");
    await anna.hello();
    const task = JSON.stringify({ taskId: "task-1", promptId });
    expect(await anna.remote.submit(task, "not JSON")).toMatchObject({
      error: { code: "invalid-option", details: { option: "workflow" } },
    });
    expect(await anna.remote.fetchFile('{"transferId":"t","serverId":"main","path":"/queue"}')).toMatchObject(
      {
        error: { details: { option: "path" } },
      },
    );
    expect(await anna.remote.addServers('[{"id":"x","url":"ftp://x"}]')).toMatchObject({
      error: { details: { option: "servers" } },
    });
  });

  test("says nothing of a credential, neither to tabs nor in its log", async () => {
    const { openTab, log, openSocket } = startHost({ fetch: () => Promise.reject(new Error("the-token")) });
    const anna = openTab("anna");
    await anna.hello();
    openSocket();
    await anna.remote.objectInfo("main");
    await anna.remote.diagnostics();
    expect(JSON.stringify([anna.heard, log])).not.toContain("the-token");
  });

  test("tells a transfer, too, that it is the browser which keeps it from the server", async () => {
    const { openTab } = startHost({
      fetch: () => Promise.reject(new TypeError("Failed to fetch")),
      blockOf: async () => "mixed-content",
    });
    const anna = openTab("anna");
    await anna.hello();
    const error = { code: "mixed-content", details: { serverId: "main" } };
    expect(await anna.remote.objectInfo("main")).toMatchObject({ error });
    const path = '{"transferId":"t","serverId":"main","path":"/view?filename=a"}';
    expect(await anna.remote.fetchFile(path)).toMatchObject({ error });
  });

  test("aborts a download for its own tab only, and all of a tab that goes", async () => {
    let aborted = 0;
    const fetch: FetchLike = (url, { signal }) =>
      new Promise((resolve, reject) => {
        if (!url.includes("/view")) resolve(new Response("{}"));
        signal?.addEventListener("abort", () => {
          aborted += 1;
          reject(new Error("aborted"));
        });
      });
    const { openTab, requests } = startHost({ fetch });
    const [anna, ben] = [openTab("anna"), openTab("ben")];
    await Promise.all([anna.hello(), ben.hello()]);
    const file = (transferId: string) =>
      JSON.stringify({ transferId, serverId: "main", path: "/view?filename=a.png" });
    const download = anna.remote.fetchFile(file("t-1"));
    void anna.remote.fetchFile(file("t-2"));
    await expect.poll(() => requests.filter((one) => one.includes("/view")).length).toBe(2);
    expect(await anna.remote.fetchFile(file("t-1"))).toMatchObject({
      error: { code: "invalid-option", details: { option: "transferId" } },
    });
    expect(await ben.remote.abort("t-1")).toEqual({ ok: null });
    expect(aborted).toBe(0);
    await anna.remote.abort("t-1");
    expect(await download).toMatchObject({ error: { code: "aborted" } });
    anna.port.postMessage({ comfyTabs: "goodbye" });
    await expect.poll(() => aborted).toBe(2);
  });

  test("keeps serving the others while one tab floods it", async () => {
    const { openTab } = startHost();
    const [anna, mallory] = [openTab("anna"), openTab("mallory")];
    await Promise.all([anna.hello(), mallory.hello()]);
    for (let call = 0; call < 20_000; call += 1)
      mallory.port.postMessage({
        id: `call-${call}`,
        type: "APPLY",
        path: call % 2 ? ["cancel"] : ["constructor"],
        argumentList: [{ type: "RAW", value: "task-1" }],
      });
    expect(await anna.remote.diagnostics()).toMatchObject({ ok: { tabs: 2 } });
    await expect
      .poll(() => mallory.heard.filter(({ id }) => id?.startsWith("call-")).length, { timeout: 10_000 })
      .toBe(20_000);
  });
});
