import { describe, expect, test } from "vitest";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import { declared, runOf, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";
import type { Effect } from "./effects.ts";

const batchesOf = (effects: readonly Effect[]) =>
  effects.flatMap((effect) => (effect.do === "post-batch" ? [effect] : []));

function running(reads: boolean): {
  host: ScriptedHost;
  anna: ReturnType<ScriptedHost["tab"]>;
  promptId: string;
  taskId: string;
} {
  const host = scriptedHost();
  const anna = host.tab("anna", { reads });
  host.openSocket();
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  host.say({ type: "execution_start", promptId });
  return { host, anna, promptId, taskId };
}

describe("a port", () => {
  test("gets the first event at once, and what comes until the tick is back as one batch", () => {
    const { host, anna, promptId } = running(true);
    const socket = [...host.coordinator.sockets.keys()][0] as number;
    const output = (nodeId: string) =>
      ({
        type: "message-received",
        socket,
        message: { type: "executed", promptId, nodeId, displayNodeId: nodeId, output: {} },
        bytes: 1,
      }) as const;
    const port = host.coordinator.ports.get(anna.port);
    if (!port) throw new Error("no port");
    port.gathering = true; // a tick is on its way
    expect(batchesOf(host.take(output("1")))).toEqual([]);
    expect(batchesOf(host.take(output("2")))).toEqual([]);
    const [batch] = batchesOf(host.take({ type: "port-ticked", port: anna.port }));
    expect(batch?.events).toHaveLength(2);
  });

  test("hears what was decided before an answer before the answer", () => {
    const { host, anna, taskId } = running(true);
    const port = host.coordinator.ports.get(anna.port);
    if (!port) throw new Error("no port");
    port.gathering = true;
    host.say({ type: "executing", promptId: host.coordinator.tasks.get(taskId)?.promptId, nodeId: "5" });
    const before = host.effects.length;
    anna.call({ method: "diagnostics" });
    expect(host.effects.slice(before).map((effect) => effect.do)).toEqual(["post-batch", "answer"]);
  });

  test("hears of a transfer's last bytes before the runtime answers that it has ended", () => {
    const { host, anna } = running(true);
    const port = host.coordinator.ports.get(anna.port);
    if (!port) throw new Error("no port");
    port.gathering = true;
    const progress = { transferId: "t", loaded: 9, total: 9 };
    expect(batchesOf(host.take({ type: "transfer-progressed", port: anna.port, ...progress }))).toEqual([]);
    const [batch] = batchesOf(host.take({ type: "transfer-ended", port: anna.port }));
    expect(batch?.events).toEqual([{ kind: "transfer", ...progress }]);
  });

  test("that does not read costs memory by the task, not by the message, and loses no ending", () => {
    const { host, anna, promptId } = running(false);
    for (let step = 0; step < 20_000; step += 1)
      host.say({ type: "progress", promptId, nodeId: String(step % 3), value: step, max: 20_000 });
    const port = host.coordinator.ports.get(anna.port);
    expect(port?.flying.length).toBe(32);
    expect(port?.outbox.size).toBeLessThanOrEqual(3);
    host.say(...runOf(promptId).slice(1));
    host.take({ type: "tab-acknowledged", port: anna.port, batch: anna.batches });
    expect(anna.heard().at(-1)).toBe("succeeded");
  });

  test("never hears progress go backwards when it reads again", () => {
    const { host, anna, promptId } = running(false);
    for (let step = 0; step < 500; step += 1)
      host.say({ type: "progress", promptId, nodeId: "1", value: step, max: 500 });
    host.take({ type: "tab-acknowledged", port: anna.port, batch: anna.batches });
    const values = anna.taskEvents().flatMap((event) => (event.type === "progress" ? [event.value] : []));
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(values.at(-1)).toBe(499);
  });

  test("in the back/forward cache is sent nothing, and is brought up to date when it is back", () => {
    const { host, anna, promptId } = running(true);
    host.take({ type: "tab-suspended", port: anna.port });
    const before = anna.batches;
    host.say(...runOf(promptId).slice(1));
    expect(anna.batches).toBe(before);
    host.take({ type: "tab-resumed", port: anna.port });
    expect(anna.heard().slice(-3)).toEqual(["node", "output", "succeeded"]);
  });

  test("that goes into the back/forward cache before it is welcome is sent nothing either", () => {
    const host = scriptedHost();
    host.holdJournal();
    const anna = host.tab("anna");
    host.take({ type: "tab-suspended", port: anna.port });
    host.releaseJournal();
    host.openSocket();
    expect(anna.batches).toBe(0);
    host.take({ type: "tab-resumed", port: anna.port });
    expect(anna.events.at(-1)).toMatchObject({ kind: "server", server: { connection: "open" } });
  });

  test("of a tab that was minted just now is welcome at once: no journal knows it", () => {
    const host = scriptedHost();
    host.holdJournal();
    const anna = host.tab("anna", { isNew: true });
    expect(anna.welcome).toMatchObject({ ok: { tasks: [] } });
    expect(host.effects.filter((effect) => effect.do === "claim-journal")).toEqual([]);
  });

  test("cannot acknowledge what was never sent", () => {
    const { host, anna } = running(false);
    const flying = host.coordinator.ports.get(anna.port)?.flying.length;
    host.take({ type: "tab-acknowledged", port: anna.port, batch: 1e9 });
    expect(host.coordinator.ports.get(anna.port)?.flying).toHaveLength(flying ?? -1);
  });

  test("keeps custom messages of 8 MiB at most for a tab that does not read, the newest", () => {
    const host = scriptedHost();
    const servers = [declared("http://comfy.test", { broadcastTypes: ["picture"] })];
    const anna = host.tab("anna", { servers, reads: false });
    host.openSocket();
    const [socket = 0] = host.coordinator.sockets.keys();
    for (let data = 1; data <= 100; data += 1) {
      const message = { type: "custom", name: "picture", data } as const;
      host.take({ type: "message-received", socket, message, bytes: 1024 * 1024 });
    }
    const waiting = host.coordinator.ports.get(anna.port)?.outbox.items() ?? [];
    expect(waiting.length).toBeLessThanOrEqual(8);
    expect(waiting.at(-1)).toMatchObject({ kind: "message", data: 100 });
  });

  test("keeps only the newest previews for a tab that does not read", () => {
    const { host, anna, promptId } = running(false);
    const image = new Uint8Array(300_000);
    for (let shot = 0; shot < 200; shot += 1)
      host.say({ type: "preview", promptId, nodeId: String(shot % 20), mime: "image/jpeg", image });
    const waiting = host.coordinator.ports.get(anna.port)?.outbox.items() ?? [];
    expect(waiting.filter((event) => event.kind === "task" && event.event.type === "preview")).toHaveLength(
      8,
    );
  });
});

describe("a page that comes back", () => {
  test("finds its tasks as they are now, endings included", () => {
    const { host, anna, promptId, taskId } = running(true);
    host.take({ type: "tab-gone", port: anna.port });
    host.say(...runOf(promptId).slice(1));
    const again = host.tab("anna");
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId, status: "succeeded", promptId }] } });
    const welcome = again.welcome as unknown as { ok: { tasks: { events: { type: string }[] }[] } };
    expect(welcome.ok.tasks[0]?.events.map(({ type }) => type)).toEqual([
      "accepted",
      "started",
      "output",
      "succeeded",
    ]);
  });

  test("gets the previews, also where nobody knows that the page before it has crashed: there are no Web Locks", () => {
    const { host, promptId, taskId } = running(true);
    const again = host.tab("anna");
    host.say({ type: "preview", promptId, nodeId: "1", mime: "image/jpeg", image: new Uint8Array([1]) });
    expect(again.heard(taskId)).toEqual(["preview"]);
  });

  test("is refused the name of a tab whose secret it does not have", () => {
    const { host } = running(true);
    const thief = host.tab("thief", { tabId: "tab-anna", secret: "guessed" });
    expect(thief.welcome).toMatchObject({ ok: { refused: "tab-id-taken" } });
    expect(thief.call({ method: "diagnostics" }).answer).toMatchObject({ error: { code: "closed" } });
  });

  test("brings its tasks to a host that does not know them", () => {
    const host = scriptedHost();
    const tasks = [{ taskId: "t", promptId: "p", serverId: "http://comfy.test", lastSeq: 7, settled: false }];
    const anna = host.tab("anna", { tasks });
    host.openSocket();
    host.pass(600);
    host.reply("/queue", { queue_running: [[1, "p", {}, {}, []]], queue_pending: [] });
    const { tasks: found = [] } = (anna.welcome as { ok: { tasks?: TaskSnapshot[] } }).ok;
    expect(found[0]).toMatchObject({ taskId: "t", status: "queued", serverId: "http://comfy.test" });
    expect(found[0]?.seq).toBeGreaterThan(7);
    expect(anna.heard("t")).toEqual(["gap", "started"]);
  });
});
