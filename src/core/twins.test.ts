import { describe, expect, test } from "vitest";
import { runOf, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";

function accepted(version = "0.33.0") {
  const host = scriptedHost();
  const anna = host.tab("anna");
  host.openSocket();
  host.reply("/system_stats", { system: { comfyui_version: version } });
  const { promptId, taskId } = anna.submit("portrait");
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  return { host, anna, promptId, taskId };
}

const answerQueue = (host: ScriptedHost, running: string[], pending: string[]): void => {
  const item = (id: string, place: number) => [place, id, {}, {}, []];
  host.reply("/queue", { queue_running: running.map(item), queue_pending: pending.map(item) });
};
const orders = (host: ScriptedHost) =>
  host.pending().filter(({ method, path }) => method === "POST" && path !== "/prompt");

describe("a second item under an id of ours", () => {
  test("is looked for after every accepted POST, also when the task has ended by then", () => {
    const { host, promptId } = accepted();
    host.say(...runOf(promptId));
    host.pass(10_000);
    expect(host.pending("/queue")).toHaveLength(1);
    answerQueue(host, [], []);
    host.pass(60_000);
    expect(host.pending("/queue")).toHaveLength(0);
  });

  test("that waits beside the first is deleted once, counted, and looked for again", () => {
    const { host, promptId } = accepted();
    host.pass(6_000);
    answerQueue(host, [promptId], [promptId]);
    expect(orders(host).map(({ path, body }) => [path, body])).toEqual([
      ["/queue", JSON.stringify({ delete: [promptId] })],
    ]);
    host.reply(/^\/queue$/, { status: 200, text: "" });
    host.pass(3_000);
    answerQueue(host, [promptId], []);
    expect(host.coordinator.twins).toEqual({ seen: 1, removed: 1 });
    expect(orders(host)).toEqual([]);
  });

  test("that runs when the first has ended is stopped by its id, and changes nothing for its owner", () => {
    const { host, anna, promptId, taskId } = accepted();
    host.say(...runOf(promptId));
    const told = anna.heard(taskId);
    host.say({ type: "execution_start", promptId });
    expect(orders(host).map(({ path }) => path)).toEqual([`/api/jobs/${promptId}/cancel`]);
    expect(anna.heard(taskId)).toEqual(told);
    expect(host.coordinator.twins.seen).toBe(1);
  });

  test("that runs is left to end where an interrupt would hit whatever runs", () => {
    const { host, promptId } = accepted("0.3.46");
    host.say(...runOf(promptId), { type: "execution_start", promptId });
    expect(orders(host)).toEqual([]);
  });

  test("is not what an answer names that was asked for before the first had ended, and came late", () => {
    const { host, promptId } = accepted();
    host.pass(6_000);
    host.say(...runOf(promptId));
    host.pass(20);
    answerQueue(host, [promptId], []);
    expect([host.coordinator.twins.seen, orders(host)]).toEqual([0, []]);
    host.pass(3_000);
    answerQueue(host, [promptId], []);
    expect([host.coordinator.twins.seen, orders(host).length]).toEqual([1, 1]);
  });
});
