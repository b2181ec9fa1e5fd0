import { describe, expect, test } from "vitest";
import { type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";

function accepted(version: string): {
  host: ScriptedHost;
  anna: ReturnType<ScriptedHost["tab"]>;
  promptId: string;
  taskId: string;
} {
  const host = scriptedHost();
  const anna = host.tab("anna");
  host.openSocket();
  host.reply("/system_stats", { system: { comfyui_version: version } });
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  return { host, anna, promptId, taskId };
}

type Sent = ReturnType<typeof accepted>;

/** Sent, and the connection broke before the answer. */
function unanswered(): Sent {
  const host = scriptedHost();
  const anna = host.tab("anna");
  host.openSocket();
  host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", { failure: "network" });
  return { host, anna, promptId, taskId };
}

const queue = (running: string[] = [], pending: string[] = []) => ({
  queue_running: running.map((id) => [1, id, {}, {}, []]),
  queue_pending: pending.map((id) => [2, id, {}, {}, []]),
});

describe("cancel", () => {
  test("of a task that no server has yet ends it at once", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    const { taskId } = anna.submit("portrait");
    expect(anna.call({ method: "cancel", taskId }).answer).toEqual({ ok: true });
    expect(anna.taskEvents(taskId)).toMatchObject([{ type: "cancelled", by: "owner" }]);
    host.openSocket();
    expect(host.pending("/prompt")).toEqual([]);
  });

  test("that is repeated says the same again: its first answer may have died with a host", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    const { taskId } = anna.submit("portrait");
    anna.call({ method: "cancel", taskId });
    expect(anna.call({ method: "cancel", taskId }).answer).toEqual({ ok: true });
  });

  test("is sent when the journal has it, and not sooner because the POST is answered meanwhile", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    const { taskId, promptId } = anna.submit("portrait");
    host.holdJournal();
    anna.call({ method: "cancel", taskId });
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    expect(host.pending(/cancel$/)).toEqual([]);
    host.releaseJournal();
    expect(host.pending(/cancel$/)).toHaveLength(1);
  });

  test("stops a running task by its id, and resolves after the ending was told", () => {
    const { host, anna, promptId, taskId } = accepted("0.33.0");
    host.say({ type: "execution_start", promptId });
    const call = anna.call({ method: "cancel", taskId });
    host.reply(`/api/jobs/${promptId}/cancel`, { cancelled: true });
    expect(call.answer).toBeUndefined();
    host.say(
      { type: "execution_interrupted", promptId, executed: [] },
      { type: "executing", promptId, nodeId: null },
    );
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
    expect(call.answer).toEqual({ ok: true });
    const tail = host.effects.slice(-3).map((effect) => effect.do);
    expect(tail.indexOf("post-batch")).toBeLessThan(tail.indexOf("answer"));
  });

  test("of a queued task ends when the server has it nowhere any more, for no event tells", () => {
    const { host, anna, promptId, taskId } = accepted("0.33.0");
    const call = anna.call({ method: "cancel", taskId });
    host.reply(`/api/jobs/${promptId}/cancel`, { cancelled: true });
    host.pass(600);
    host.reply("/queue", queue(["other"]));
    host.reply(`/history/${promptId}`, {});
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
    expect(call.answer).toEqual({ ok: true });
  });

  test("deletes, then interrupts by id, where there are no jobs", () => {
    const { host, anna, promptId, taskId } = accepted("0.3.64");
    anna.call({ method: "cancel", taskId });
    expect(host.pending("/queue").map(({ body }) => body)).toEqual([`{"delete":["${promptId}"]}`]);
    host.reply("/queue", { status: 200, text: "" });
    expect(host.pending("/interrupt").map(({ body }) => body)).toEqual([`{"prompt_id":"${promptId}"}`]);
  });

  test("leaves a running task alone where an interrupt would hit whatever runs", () => {
    const { host, anna, promptId, taskId } = accepted("0.3.42");
    host.say({ type: "execution_start", promptId });
    const call = anna.call({ method: "cancel", taskId });
    host.reply("/queue", { status: 200, text: "" });
    expect(call.answer).toEqual({ ok: false });
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ code: "cancel-unsupported" });
    host.pass(60_000);
    expect(host.effects.some((effect) => effect.do === "request" && effect.path === "/interrupt")).toBe(
      false,
    );
  });

  test("while the POST is on its way acts on the answer", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    const { taskId, promptId } = anna.submit("portrait");
    anna.call({ method: "cancel", taskId });
    expect(host.pending(/cancel/)).toEqual([]);
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    expect(host.pending(/cancel/)).toHaveLength(1);
  });

  test("that is called again while it waits answers no later for that", () => {
    const { host, anna, taskId } = accepted("0.33.0");
    const first = anna.call({ method: "cancel", taskId });
    host.pass(20_000);
    const second = anna.call({ method: "cancel", taskId });
    host.pass(10_001);
    expect([first.answer, second.answer]).toEqual([{ ok: false }, { ok: false }]);
  });

  test("that the server does not follow is repeated, and answers false after 30 s", () => {
    const { host, anna, promptId, taskId } = accepted("0.33.0");
    host.say({ type: "execution_start", promptId });
    const call = anna.call({ method: "cancel", taskId });
    host.reply(/cancel$/, { failure: "network" });
    host.pass(2_500);
    expect(host.pending(/cancel$/)).toHaveLength(1);
    host.reply(/cancel$/, { cancelled: true });
    host.pass(30_000);
    expect(call.answer).toEqual({ ok: false });
    host.say(
      { type: "execution_interrupted", promptId, executed: [] },
      { type: "executing", promptId, nodeId: null },
    );
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
  });

  test.each([
    [
      "a look-up",
      ({ host, promptId }: Sent) => {
        host.pass(1_000);
        host.reply("/queue", queue([], [promptId]));
      },
    ],
    ["a frame", ({ host, promptId }: Sent) => host.say({ type: "execution_start", promptId })],
  ])("of a task whose POST had no clear answer waits for %s that knows it", (_, hear) => {
    const sent = unanswered();
    const { host, anna, taskId } = sent;
    anna.call({ method: "cancel", taskId });
    host.pass(500);
    expect(host.pending(/cancel$/)).toEqual([]);
    hear(sent);
    host.pass(2_000);
    expect(host.pending(/cancel$/)).toHaveLength(1);
  });

  test("is tried again when a server whose version a proxy had hidden tells it", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.reply("/system_stats", { status: 502, text: "<html>" });
    const { taskId, promptId } = anna.submit("portrait");
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    host.say({ type: "execution_start", promptId });
    const call = anna.call({ method: "cancel", taskId });
    host.reply("/queue", {});
    expect(call.answer).toEqual({ ok: false });
    host.pass(30_000);
    host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    expect(host.pending(/cancel$/)).toHaveLength(1);
  });

  test("that comes while the journal is told of a second POST ends it without one", () => {
    const { host, anna, taskId } = unanswered();
    const isOwed = () => host.coordinator.tasks.get(taskId)?.stage.at === "committing";
    host.holdJournal();
    while (!isOwed()) {
      host.pass(500);
      while (host.pending("/queue").length > 0) host.reply("/queue", queue());
      while (host.pending(/history/).length > 0) host.reply(/history/, {});
    }
    anna.call({ method: "cancel", taskId });
    host.releaseJournal();
    expect(host.pending("/prompt").filter(({ method }) => method === "POST")).toEqual([]);
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
  });

  test("is not believed because of a look-up that began before the prompt came to run", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    const { taskId, promptId } = anna.submit("portrait");
    host.reply("/prompt", { failure: "network" });
    host.pass(1_000);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    host.say({ type: "execution_start", promptId });
    anna.call({ method: "cancel", taskId });
    host.reply(/cancel$/, { cancelled: true });
    host.reply(/^\/history/, {});
    expect(anna.heard(taskId)).not.toContain("cancelled");
    host.say(
      { type: "execution_interrupted", promptId, executed: [] },
      { type: "executing", promptId, nodeId: null },
    );
    expect(anna.heard(taskId)).not.toContain("lost");
  });

  test("of another tab's task finds nothing", () => {
    const { host, taskId } = accepted("0.33.0");
    const ben = host.tab("ben");
    expect(ben.call({ method: "cancel", taskId }).answer).toMatchObject({ error: { code: "not-found" } });
    expect(ben.call({ method: "dismiss", taskId }).answer).toMatchObject({ error: { code: "not-found" } });
    expect(host.pending(/cancel$/)).toEqual([]);
  });
});
