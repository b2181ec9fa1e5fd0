import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import type { DeclaredServer } from "../core/facts.ts";
import { journalModel } from "../world/journal-model.ts";
import { declared, runOf, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";
import { keepWaiting } from "./scheduling.ts";

const comfy = declared("http://comfy.test", { depth: 2 });

/** The prompts that a server was sent and has not answered, in order. */
const sentTo = (host: ScriptedHost, server: DeclaredServer): string[] =>
  host
    .pending("/prompt")
    .filter((request) => request.server === server.key && request.method === "POST")
    .map(({ body }) => JSON.parse(body ?? "").prompt_id);

/** The server takes the oldest prompt that it was sent, and runs it. */
function runOne(host: ScriptedHost): void {
  const [promptId = ""] = sentTo(host, comfy);
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  host.say(...runOf(promptId));
}

/** What was sent, in order, as the server runs one after the other. */
function runAll(host: ScriptedHost): string[] {
  const order: string[] = [];
  for (let next = sentTo(host, comfy)[0]; next !== undefined; next = sentTo(host, comfy)[0]) {
    order.push(next);
    runOne(host);
  }
  return order;
}

describe("the backlog", () => {
  test("keeps what is beyond a server's depth, and sends it as places become free", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy] });
    host.openSocket(comfy);
    const prompts = ["one", "two", "three"].map((name) => anna.submit(name).promptId);
    expect(sentTo(host, comfy)).toEqual(prompts.slice(0, 2));
    runOne(host);
    expect(sentTo(host, comfy)).toEqual(prompts.slice(1));
  });

  test("is no limit where the depth has none", () => {
    const host = scriptedHost();
    const endless = declared("http://comfy.test", { depth: Number.MAX_SAFE_INTEGER });
    const anna = host.tab("anna", { servers: [endless] });
    host.openSocket(endless);
    for (let n = 0; n < 50; n += 1) anna.submit(`t${n}`);
    expect(sentTo(host, endless)).toHaveLength(50);
  });

  test("gives the tabs turns: one with a single task does not wait for one with many", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy] });
    const ben = host.tab("ben", { servers: [comfy] });
    host.openSocket(comfy);
    for (let n = 0; n < 9; n += 1) anna.submit(`a${n}`);
    const { promptId } = ben.submit("b");
    expect(runAll(host).indexOf(promptId)).toBeLessThanOrEqual(3);
  });

  test("costs a tab no turn where its oldest task waits for another server", () => {
    const host = scriptedHost();
    const other = declared("http://other.test", { depth: 1 });
    const anna = host.tab("anna", { servers: [comfy, other] });
    const ben = host.tab("ben", { servers: [comfy] });
    host.openSocket(comfy);
    for (let n = 0; n < 9; n += 1) ben.submit(`b${n}`);
    anna.submit("elsewhere", { server: other.id });
    const { promptId } = anna.submit("here");
    expect(runAll(host).indexOf(promptId)).toBeLessThanOrEqual(3);
  });

  test("keeps a tab's own order, but for what goes to the front", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy] });
    host.openSocket(comfy);
    const [one, two, three, four] = ["one", "two", "three", "four"].map((name) => anna.submit(name).promptId);
    const { promptId: urgent } = anna.submit("urgent", { front: true });
    expect(runAll(host)).toEqual([one, two, urgent, three, four]);
  });

  test("tells each task how many run before it, and says so again when it has changed", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy] });
    host.openSocket(comfy);
    for (const name of ["one", "two", "three"]) anna.submit(name);
    const { taskId } = anna.submit("four");
    host.pass(1_000);
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "queued", position: 3 });
    runOne(host);
    host.pass(1_000);
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "queued", position: 2 });
  });

  test("of thousands is told its positions less often, and none is asked again when one more comes", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy] });
    host.openSocket(comfy);
    for (const name of ["one", "two"]) anna.submit(name);
    const { taskId } = anna.submit("three");
    host.pass(1_000);
    const task = host.coordinator.tasks.get(taskId);
    if (!task) expect.unreachable();
    // Whoever is chosen for is asked for its candidates.
    const candidates = vi.fn(() => [comfy]);
    Object.defineProperty(task, "candidates", { get: candidates });
    anna.submit("four");
    expect(candidates).not.toHaveBeenCalled();
    host.pass(1_000);
    keepWaiting(
      host.coordinator,
      Array.from({ length: 5_000 }, () => task),
    );
    expect(host.coordinator.timers.get("backlog ")?.at).toBeGreaterThan(host.now + 3_000);
  });

  test("tells no place where another tab has locked the server, but that it has, and counts such a task for nobody", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers: [comfy] }), host.tab("ben", { servers: [comfy] })];
    host.openSocket(comfy);
    anna.call({ method: "lockServer", lock: { lockId: "a", mode: "exclusive", servers: [comfy.id] } });
    const { taskId: his } = ben.submit("his");
    for (const name of ["one", "two"]) anna.submit(name);
    const { taskId: hers } = anna.submit("three");
    host.pass(1_000);
    expect(anna.taskEvents(hers).at(-1)).toMatchObject({ type: "queued", position: 2 });
    expect(ben.taskEvents(his)).toMatchObject([
      { type: "warning", code: "waiting", message: "Not sent yet: another tab has locked it." },
    ]);
  });

  test("lets go of a cancelled task at once", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy] });
    host.openSocket(comfy);
    for (const name of ["one", "two"]) anna.submit(name);
    const { taskId } = anna.submit("three");
    expect(anna.call({ method: "cancel", taskId }).answer).toEqual({ ok: true });
    expect(anna.heard(taskId)).toContain("cancelled");
  });

  test("outlives its host, and is sent by the next one in its order", () => {
    const journal = journalModel();
    const former = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = former.tab("anna", { servers: [comfy] });
    const prompts = ["one", "two", "three"].map((name) => anna.submit(name).promptId);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb" });
    next.tab("anna", { servers: [comfy] });
    next.openSocket(comfy);
    expect(sentTo(next, comfy)).toEqual(prompts.slice(0, 2));
    expect(runAll(next)).toEqual(prompts);
  });
});

/** The tabs of a model that takes turns: each in the order of its own, whoever had a turn longest ago first. */
function turns(queues: readonly string[][]): string[] {
  const order: string[] = [];
  for (let round = 0; queues.some((queue) => round < queue.length); round += 1)
    for (const queue of queues) order.push(...queue.slice(round, round + 1));
  return order;
}

describe("the turns of any number of tabs with any number of tasks", () => {
  test("are one each, as in a model of them, whatever the server's depth", () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(7), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 6 }),
        (counts, depth) => {
          const host = scriptedHost();
          const one = { ...comfy, depth };
          const queues = counts.map((count, tab) => {
            const its = host.tab(`tab${tab}`, { servers: [one] });
            return Array.from({ length: count }, (_, n) => its.submit(`${tab}.${n}`).promptId);
          });
          host.openSocket(one);
          expect(sentTo(host, one)).toHaveLength(Math.min(depth, queues.flat().length));
          expect(runAll(host)).toEqual(turns(queues));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe("a server", () => {
  const [first, second] = [declared("http://first.test"), declared("http://second.test")];

  test("that is put aside gets nothing new, and comes back by itself", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [first, second] });
    host.openSocket(first, 0);
    host.openSocket(second, 9);
    anna.submit("one");
    const [one = ""] = sentTo(host, first);
    host.reply("/prompt", { prompt_id: one, number: 1, node_errors: {} });
    for (let n = 0; n < 3; n += 1) {
      while (host.pending("/queue").every(({ server }) => server !== first.key)) host.pass(1_000);
      while (host.pending("/queue").some(({ server }) => server !== first.key))
        host.reply("/queue", { queue_running: [], queue_pending: [] });
      if (host.pending("/queue").length > 0) host.reply("/queue", { status: 500, text: "" });
    }
    anna.submit("two");
    expect(sentTo(host, first)).toEqual([]);
    expect(sentTo(host, second)).toHaveLength(1);
    host.pass(2_000);
    anna.submit("three");
    expect(sentTo(host, first)).toHaveLength(1);
  });

  test("that is declared later gets what waits", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [first] });
    const { promptId } = anna.submit("one");
    anna.call({ method: "addServers", servers: [second] });
    host.openSocket(second);
    expect(sentTo(host, second)).toEqual([promptId]);
  });

  test("that is declared while the journal writes a task down gets that, too", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [first] });
    host.holdJournal();
    const { promptId } = anna.submit("one");
    anna.call({ method: "addServers", servers: [second] });
    host.releaseJournal();
    host.openSocket(second);
    expect(sentTo(host, second)).toEqual([promptId]);
  });

  test("that is declared later, and that another tab has open, gets at once what waits", () => {
    const host = scriptedHost();
    host.tab("ben", { servers: [second] });
    host.openSocket(second);
    const anna = host.tab("anna", { servers: [first] });
    const { promptId } = anna.submit("one");
    anna.call({ method: "addServers", servers: [second] });
    expect(sentTo(host, second)).toEqual([promptId]);
  });

  test("that a reloaded tab does not name any more is not its own", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [first, second] });
    host.take({ type: "tab-gone", port: anna.port });
    const again = host.tab("anna", { servers: [second] });
    expect(again.submit("one", { server: first.id }).answer).toMatchObject({ error: { code: "not-found" } });
  });

  test("that has a task's files gets it, whatever else the tab has locked", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [first, second] });
    host.openSocket(first, 0);
    host.openSocket(second, 0);
    anna.call({ method: "lockServer", lock: { lockId: "a", mode: "exclusive", servers: [first.id] } });
    const { promptId } = anna.submit("picture", { filesAt: [second.id] });
    anna.submit("none");
    expect(sentTo(host, second)).toEqual([promptId]);
    expect(sentTo(host, first)).toHaveLength(1);
  });

  test("is the one of the tab's last task, where it wants that", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [first, second] });
    host.openSocket(first, 0);
    host.openSocket(second, 5);
    anna.submit("one", { server: second.id });
    anna.submit("two", { affinity: "tab" });
    anna.submit("three");
    expect(sentTo(host, second)).toHaveLength(2);
    expect(sentTo(host, first)).toHaveLength(1);
    expect(anna.call({ method: "diagnostics" }).answer).toMatchObject({
      ok: {
        placements: [
          { taskId: "task-one", why: "the only one that it may use" },
          { taskId: "task-two", why: "affinity: the tab's last task went there" },
          { taskId: "task-three", why: "least busy of 2, with a load of 1" },
        ],
      },
    });
  });
});
