import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ServerKey } from "../protocol/ids.ts";
import type { PortTaskEvent } from "../protocol/tasks.ts";
import {
  comfy,
  declared,
  promptIdOf,
  runOf,
  type ScriptedHost,
  type ScriptedTab,
  scriptedHost,
} from "../world/scripted-host.ts";
import type { Effect } from "./effects.ts";
import type { Fact } from "./facts.ts";
import type { Server, Task } from "./state.ts";
import { quarantineMs } from "./submission.ts";
import { settledLimit, snapshotOf } from "./task-lifecycle.ts";

/** Anna's portrait runs, and nothing is wrong; ben has no task. Whatever is wrong is a test's doing. */
function stage() {
  const host = scriptedHost();
  const anna = host.tab("anna", { servers: [{ ...comfy, broadcastTypes: ["logs"] }] });
  const ben = host.tab("ben");
  host.openSocket();
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  host.say({ type: "execution_start", promptId });
  const task = host.coordinator.tasks.get(taskId) as Task;
  const server = host.coordinator.servers.get(comfy.key) as Server;
  return { host, anna, ben, task, server, promptId };
}
type Stage = ReturnType<typeof stage>;

function settled(): Stage {
  const scene = stage();
  scene.host.say(...runOf(scene.promptId).slice(1));
  expect(scene.task.stage.at).toBe("settled");
  return scene;
}

/** What the watch says of effects that no coordinator has ordered. */
function seen(host: ScriptedHost, ...effects: readonly Effect[]): void {
  host.watch.after({ type: "went-online" }, effects, { now: host.now, wall: 0, random: 0.5 });
}

const batch = (port: number, event: Extract<Effect, { do: "post-batch" }>["events"][number]): Effect => ({
  do: "post-batch",
  port,
  batch: 99,
  events: [event],
});
const news = (port: number, event: PortTaskEvent): Effect => batch(port, { kind: "task", event });
const started = (task: Task, seq: number): PortTaskEvent => ({
  taskId: task.id,
  seq,
  at: 0,
  type: "started",
});
const lost = (task: Task, seq: number): PortTaskEvent => ({
  taskId: task.id,
  seq,
  at: 0,
  type: "lost",
  reason: "removed",
});
const post = (path: string, body: object, server: ServerKey = comfy.key): Effect => ({
  do: "request",
  request: 999,
  server,
  method: "POST",
  path,
  body: JSON.stringify(body),
  timeoutMs: 1000,
});
const open = (socket: number, server: ServerKey, clientId: string): Effect => ({
  do: "open-socket",
  socket,
  server,
  clientId,
});
const answered = (call: number, ok: unknown): Effect => ({ do: "answer", call, answer: { ok } });

/** Asks something as this tab, without anybody hearing of it but the watch. */
function asked(host: ScriptedHost, port: number): number {
  const call = 1000;
  const fact: Fact = { type: "tab-called", port, call, request: { method: "diagnostics" } };
  host.watch.after(fact, [], { now: host.now, wall: 0, random: 0.5 });
  return call;
}

const lockAs = (tab: ScriptedTab, lockId: string): unknown =>
  tab.call({ method: "lockServer", lock: { lockId, mode: "exclusive", servers: [comfy.id] } }).answer;

const serverEvent = (id: string) =>
  ({
    kind: "server",
    server: { id, url: "http://x.test", connection: "open", queueRemaining: 0, version: undefined },
  }) as const;
const message = (type: string) =>
  ({ kind: "message", number: 1, serverId: comfy.id, type, data: null }) as const;

describe("the watch", () => {
  test.each<[string, (scene: Stage) => void]>([
    [
      "a task's next event, at its own tab",
      ({ host, anna, task }) => seen(host, news(anna.port, started(task, 50))),
    ],
    ["a server that the tab named", ({ host, ben }) => seen(host, batch(ben.port, serverEvent(comfy.id)))],
    ["a message that the tab asked for", ({ host, anna }) => seen(host, batch(anna.port, message("logs")))],
    [
      "a tab's own task in an answer",
      ({ host, anna, task }) => seen(host, answered(asked(host, anna.port), snapshotOf(task))),
    ],
    [
      "a second socket to another server",
      ({ host }) => seen(host, open(90, "http://b.test" as ServerKey, "c-90")),
    ],
    [
      "an interrupt of an own prompt",
      ({ host, promptId }) => seen(host, post("/interrupt", { prompt_id: promptId })),
    ],
    ["a delete of an own prompt", ({ host, promptId }) => seen(host, post("/queue", { delete: [promptId] }))],
    [
      "the cancel of an own job",
      ({ host, promptId }) => seen(host, post(`/api/jobs/${promptId}/cancel`, {})),
    ],
    [
      "a transfer with a server that the tab named",
      ({ host, anna }) =>
        seen(host, {
          do: "allow-transfer",
          call: 1000,
          port: anna.port,
          server: comfy.key,
          serverId: comfy.id,
        }),
    ],
    ["an end of everything", ({ host }) => host.watch.atRest()],
  ])("has nothing against %s", (_, act) => {
    expect(() => act(stage())).not.toThrow();
  });

  test.each<[string, string, (scene: Stage) => void]>([
    [
      "G1",
      "a task's event at another tab",
      ({ host, ben, task }) => seen(host, news(ben.port, started(task, 50))),
    ],
    [
      "G1",
      "an event of a task that nobody has",
      ({ host, anna, task }) => seen(host, news(anna.port, { ...started(task, 50), taskId: "task-x" })),
    ],
    [
      "G1",
      "an event for a page that is gone",
      ({ host, anna, task }) => {
        host.take({ type: "tab-gone", port: anna.port });
        seen(host, news(anna.port, started(task, 50)));
      },
    ],
    [
      "G1",
      "a server that the tab did not name",
      ({ host, ben }) => seen(host, batch(ben.port, serverEvent("x"))),
    ],
    [
      "G1",
      "a message that the tab did not ask for",
      ({ host, ben }) => seen(host, batch(ben.port, message("logs"))),
    ],
    ["G1", "a message of another type", ({ host, anna }) => seen(host, batch(anna.port, message("assets")))],
    [
      "G1",
      "another tab's task in an answer",
      ({ host, ben, task }) => seen(host, answered(asked(host, ben.port), snapshotOf(task))),
    ],
    [
      "G1",
      "another tab's task in a list",
      ({ host, ben, task }) => seen(host, answered(asked(host, ben.port), { tasks: [snapshotOf(task)] })),
    ],
    [
      "G1",
      "a task that changes hands",
      ({ host, ben, task }) => {
        host.coordinator.tasks.set(task.id, {
          ...task,
          tabId: host.coordinator.ports.get(ben.port)?.tabId ?? "",
        });
        seen(host);
      },
    ],
    [
      "G1",
      "a transfer with a server that the tab did not name",
      ({ host, ben }) =>
        seen(host, {
          do: "allow-transfer",
          call: 1000,
          port: ben.port,
          server: "x" as ServerKey,
          serverId: "x",
        }),
    ],
    [
      "G1",
      "a transfer with another account of a server that the tab named",
      ({ host, ben }) =>
        seen(host, {
          do: "allow-transfer",
          call: 1000,
          port: ben.port,
          server: `${comfy.key} other` as ServerKey,
          serverId: comfy.id,
        }),
    ],
    [
      "G2",
      "an event after the ending",
      ({ host, anna, task }) =>
        seen(host, news(anna.port, lost(task, 50)), news(anna.port, started(task, 51))),
    ],
    [
      "G2",
      "an ending in the record of a task that runs",
      ({ host, task }) => {
        task.record.put(lost(task, 50));
        seen(host);
      },
    ],
    [
      "G2",
      "an ending that is decided and never told",
      ({ host, task }) => {
        task.stage = { at: "settling", ending: { type: "lost", reason: "removed" }, was: "running" };
        host.watch.atRest();
      },
    ],
    ["G3", "one event twice", ({ host, anna, task }) => seen(host, news(anna.port, started(task, 1)))],
    [
      "G3",
      "events in the wrong order",
      ({ host, anna, task }) =>
        seen(host, news(anna.port, started(task, 51)), news(anna.port, started(task, 50))),
    ],
    [
      "G3",
      "a POST before there is a route",
      ({ host }) => seen(host, post("/prompt", { prompt_id: promptIdOf("other") })),
    ],
    [
      "G3",
      "an output that the owner is never told",
      ({ host, task }) => {
        task.record.put({
          taskId: task.id,
          seq: 50,
          at: 0,
          type: "output",
          nodeId: "9",
          output: {},
          files: [],
        });
        host.watch.atRest();
      },
    ],
    ["G4", "a second socket to one server", ({ host }) => seen(host, open(90, comfy.key, "c-90"))],
    [
      "G4",
      "one client id on two sockets",
      ({ host, server }) => seen(host, open(90, "http://b.test" as ServerKey, server.clientId)),
    ],
    [
      "G4",
      "a client id whose socket still closes: the server would deafen the new one",
      ({ host, server }) => {
        const socket = [...host.coordinator.sockets.keys()][0] as number;
        seen(host, { do: "close-socket", socket }, open(90, comfy.key, server.clientId));
      },
    ],
    [
      "G5",
      "a POST that is repeated at once",
      ({ host, promptId }) => seen(host, post("/prompt", { prompt_id: promptId })),
    ],
    ["G6", "an interrupt of whatever runs", ({ host }) => seen(host, post("/interrupt", {}))],
    [
      "G6",
      "an interrupt of somebody else's prompt",
      ({ host }) => seen(host, post("/interrupt", { prompt_id: promptIdOf("other") })),
    ],
    ["G6", "a clear of the whole queue", ({ host }) => seen(host, post("/queue", { clear: true }))],
    [
      "G6",
      "a clear beside an own delete",
      ({ host, promptId }) => seen(host, post("/queue", { delete: [promptId], clear: true })),
    ],
    [
      "G6",
      "a delete of somebody else's prompt among own ones",
      ({ host, promptId }) => seen(host, post("/queue", { delete: [promptId, promptIdOf("other")] })),
    ],
    [
      "G6",
      "a delete at another server",
      ({ host, promptId }) => seen(host, post("/queue", { delete: [promptId] }, "x" as ServerKey)),
    ],
    [
      "G6",
      "the cancel of somebody else's job",
      ({ host }) => seen(host, post(`/api/jobs/${promptIdOf("other")}/cancel`, {})),
    ],
    ["G6", "a cancel of many jobs", ({ host }) => seen(host, post("/api/jobs/cancel", { job_ids: [] }))],
    [
      "G6",
      "a POST for which there is no reason",
      ({ host }) => seen(host, post("/history", { clear: true })),
    ],
    [
      "own list",
      "a prompt at a server that its tab does not name",
      ({ host, task, promptId }) => {
        const elsewhere = declared("http://elsewhere.test");
        host.tab("cleo", { servers: [elsewhere] });
        task.serverKey = elsewhere.key;
        host.coordinator.servers.get(elsewhere.key)?.routes.set(promptId, task.id);
        seen(host, post("/prompt", { prompt_id: promptId }, elsewhere.key));
      },
    ],
    [
      "depth",
      "a fifth unfinished prompt at a server that may have four",
      ({ host, anna, server }) => {
        for (const name of ["two", "three", "four"]) anna.submit(name);
        const { taskId, promptId } = anna.submit("five");
        const fifth = host.coordinator.tasks.get(taskId) as Task;
        fifth.serverKey = server.key;
        server.routes.set(promptId, taskId);
        seen(host, post("/prompt", { prompt_id: promptId }));
      },
    ],
    [
      "lock",
      "a new prompt at a server that another tab has locked",
      ({ host, anna, ben, server }) => {
        lockAs(ben, "b");
        const { taskId, promptId } = anna.submit("two");
        const kept = host.coordinator.tasks.get(taskId) as Task;
        kept.serverKey = server.key;
        server.routes.set(promptId, taskId);
        seen(host, post("/prompt", { prompt_id: promptId }));
      },
    ],
    [
      "lock",
      "a lock that outlives its page by more than the grace",
      ({ host, ben }) => {
        lockAs(ben, "b");
        host.take({ type: "tab-gone", port: ben.port });
        host.now += 5_000;
        host.watch.after({ type: "time-passed" }, [], { now: host.now, wall: 0, random: 0.5 });
      },
    ],
    [
      "lock",
      "a page that is gone and waits for a lock",
      ({ host, anna, ben }) => {
        lockAs(anna, "a");
        lockAs(ben, "b");
        const fact: Fact = { type: "tab-gone", port: ben.port };
        host.watch.after(fact, [], { now: host.now, wall: 0, random: 0.5 });
      },
    ],
    [
      "G7",
      "a call that is answered twice",
      ({ host, anna }) => {
        const call = asked(host, anna.port);
        seen(host, answered(call, null), answered(call, null));
      },
    ],
    [
      "G7",
      "a call that is answered and may move files, too",
      ({ host, anna }) => {
        const call = asked(host, anna.port);
        seen(
          host,
          { do: "allow-transfer", call, port: anna.port, server: comfy.key, serverId: comfy.id },
          answered(call, null),
        );
      },
    ],
    [
      "G7",
      "a call that is never answered",
      ({ host, anna }) => {
        asked(host, anna.port);
        host.watch.atRest();
      },
    ],
    [
      "G8",
      "an outbox that grows with every message",
      ({ host, anna }) => {
        const port = host.coordinator.ports.get(anna.port);
        for (let number = 0; number < 10_000; number += 1)
          port?.outbox.put({ kind: "transfer", transferId: String(number), loaded: 0, total: 1 });
        seen(host);
      },
    ],
    [
      "G8",
      "batches that go out though nobody reads",
      ({ host, anna }) => {
        const port = host.coordinator.ports.get(anna.port);
        for (let number = 0; number < 2000; number += 1) port?.flying.push({ batch: number, bytes: 1 });
        seen(host);
      },
    ],
  ])("sees %s broken by %s", (promise, _, act) => {
    expect(() => act(stage())).toThrow(`${promise} is broken`);
  });

  test.each<[string, string, (scene: Stage) => void]>([
    [
      "G2",
      "an ending that changes",
      ({ host, task }) => {
        task.stage = { at: "settled", status: "lost", atWall: 0 };
        seen(host);
      },
    ],
    [
      "G2",
      "an ending that is taken back",
      ({ host, task }) => {
        task.stage = { at: "running" };
        seen(host);
      },
    ],
    [
      "G2",
      "an ending that is not kept for those who come late",
      ({ host, task }) => {
        task.record.drop(() => true);
        seen(host);
      },
    ],
    [
      "G2",
      "a second ending in the record",
      ({ host, task }) => {
        task.record.put(lost(task, 50));
        seen(host);
      },
    ],
    [
      "G2",
      "an ended task that its server still counts as open",
      ({ host, task, server }) => {
        server.open.add(task.id);
        seen(host);
      },
    ],
    [
      "G2",
      "an ending that one page of the tab is never told",
      ({ host, task }) => {
        const again = host.tab("again", { tabId: task.tabId, secret: `secret of ${task.tabId}` });
        host.watch.atRest();
        const ending = task.record.items().at(-1) as PortTaskEvent;
        task.record.drop((event) => event === ending);
        task.record.put({ ...ending, seq: ending.seq + 1 });
        expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId: task.id }] } });
        host.watch.atRest();
      },
    ],
    [
      "G8",
      "settled tasks that are kept for ever",
      ({ host, task }) => {
        for (let number = 0; number <= settledLimit.inAll; number += 1) {
          const id = `task-${number}`;
          host.coordinator.tasks.set(id, { ...task, id });
        }
        seen(host);
      },
    ],
  ])("sees %s broken, when all is over, by %s", (promise, _, act) => {
    expect(() => act(settled())).toThrow(`${promise} is broken`);
  });

  test("takes an ending in a hello's answer for told", () => {
    const { host, task } = settled();
    const again = host.tab("again", { tabId: task.tabId, secret: `secret of ${task.tabId}` });
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId: task.id, status: "succeeded" }] } });
    expect(again.heard()).toEqual([]);
    expect(() => host.watch.atRest()).not.toThrow();
  });

  test("lets numbers skip, but never stand or fall", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 10, max: 30 }), { minLength: 1, maxLength: 6 }), (numbers) => {
        const { host, anna, task } = stage();
        const hear = () => seen(host, ...numbers.map((seq) => news(anna.port, started(task, seq))));
        if (numbers.every((seq, at) => at === 0 || seq > (numbers[at - 1] as number))) hear();
        else expect(hear).toThrow("G3 is broken");
      }),
    );
  });

  test("lets a prompt be posted twice, a minute apart, and never again", () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 1, quarantineMs - 1, quarantineMs, 2 * quarantineMs), {
          minLength: 1,
          maxLength: 4,
        }),
        (waits) => {
          const { host, promptId } = stage();
          const again = () => {
            for (const wait of waits) {
              host.now += wait;
              seen(host, post("/prompt", { prompt_id: promptId }));
            }
          };
          // The scene has posted it once.
          if (waits.length === 1 && (waits[0] as number) >= quarantineMs) again();
          else expect(again).toThrow("G5 is broken");
        },
      ),
    );
  });

  test("counts no prompt that was refused here and is only looked for, as its next page does not know that", () => {
    const { host, anna, ben, server, promptId } = stage();
    for (const name of ["two", "three", "four"]) anna.submit(name);
    const { taskId, promptId: refused, answer } = ben.submit("five", { server: "http://nowhere.test" });
    expect(answer).toMatchObject({ error: { code: "not-found" } });
    const known = { taskId, promptId: refused, lastSeq: 0, settled: false };
    host.tab("ben", { tasks: [known] });
    expect([server.open.size, host.coordinator.tasks.get(taskId)?.serverKey]).toEqual([5, server.key]);
    host.now += quarantineMs;
    expect(() => seen(host, post("/prompt", { prompt_id: promptId }))).not.toThrow();
  });

  test("lets sockets come and go, as long as no server has two and no client id is on two", () => {
    const servers = [declared("http://a.test"), declared("http://b.test")].map(({ key }) => key);
    const action = fc.oneof(
      fc.record({ open: fc.constantFrom(...servers), clientId: fc.constantFrom("c-1", "c-2", "c-3") }),
      fc.record({ close: fc.nat(4) }),
      fc.record({ closed: fc.nat(4) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
        const { watch } = scriptedHost();
        const live: { socket: number; server: ServerKey; clientId: string; closing: boolean }[] = [];
        let socket = 0;
        const take = (fact: Fact, ...effects: Effect[]) =>
          watch.after(fact, effects, { now: 0, wall: 0, random: 0.5 });
        for (const one of actions) {
          if ("open" in one) {
            socket += 1;
            const { open: server, clientId } = one;
            const order = () => take({ type: "went-online" }, open(socket, server, clientId));
            const two = live.some((other) => !other.closing && other.server === server);
            if (two || live.some((other) => other.clientId === clientId)) {
              expect(order).toThrow("G4 is broken");
              return;
            }
            order();
            live.push({ socket, server, clientId, closing: false });
          } else if ("close" in one) {
            const other = live[one.close];
            if (!other) continue;
            other.closing = true;
            take({ type: "went-online" }, { do: "close-socket", socket: other.socket });
          } else {
            const [other] = live.splice(one.closed, 1);
            if (other) take({ type: "socket-closed", socket: other.socket, code: 1006, clean: false });
          }
        }
      }),
    );
  });
});
