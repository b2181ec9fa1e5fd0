import { describe, expect, test } from "vitest";
import { comfy, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";

function waiting() {
  const host = scriptedHost();
  const anna = host.tab("anna");
  host.openSocket();
  const { promptId, taskId } = anna.submit("portrait");
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  return { host, anna, promptId, taskId };
}

const counts = (host: ScriptedHost, queueRemaining: number): void =>
  host.reply("/prompt", { exec_info: { queue_remaining: queueRemaining } });
const openings = (host: ScriptedHost) =>
  host.effects.flatMap((effect) => (effect.do === "open-socket" ? [effect.clientId] : []));

describe("a socket that says nothing while tasks are open", () => {
  test("is doubted after five seconds, and trusted when the server counts what it said", () => {
    const { host } = waiting();
    host.say({ type: "status", queueRemaining: 1 });
    host.pass(5_100);
    counts(host, 1);
    host.pass(4_900);
    expect(host.pending("/prompt")).toHaveLength(0);
    expect(openings(host)).toHaveLength(1);
  });

  test("is replaced under a new client id when the difference lasts two seconds", () => {
    const { host, anna, taskId } = waiting();
    host.pass(5_100);
    counts(host, 1);
    expect(openings(host)).toHaveLength(1);
    host.pass(2_100);
    counts(host, 1);
    const [first, second] = openings(host);
    expect(second).toBeDefined();
    expect(second).not.toBe(first);
    expect(host.effects.filter((effect) => effect.do === "close-socket")).toHaveLength(1);
    expect(anna.heard(taskId)).toContain("gap");
  });

  test("is not replaced when a frame comes in between: that was a slow server", () => {
    const { host } = waiting();
    host.pass(5_100);
    counts(host, 1);
    host.say({ type: "status", queueRemaining: 1 });
    host.pass(2_100);
    expect(openings(host)).toHaveLength(1);
  });

  test("is not judged by a question that failed", () => {
    const { host } = waiting();
    for (let round = 0; round < 5; round += 1) {
      host.pass(5_100);
      host.reply("/prompt", { failure: "network" });
    }
    expect(openings(host)).toHaveLength(1);
  });

  test("of an idle server is left alone", () => {
    const host = scriptedHost();
    host.tab("anna");
    host.openSocket();
    host.pass(600_000);
    expect(host.pending("/prompt")).toHaveLength(0);
  });

  test("is doubted also where the app has posted them itself", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.pass(60_000);
    const registration = { taskId: "t", serverId: comfy.id, promptId: "own" };
    anna.call({ method: "register", registration });
    for (let probes = 0; probes < 2; probes += 1) {
      host.pass(5_100);
      counts(host, 1);
    }
    expect(openings(host)).toHaveLength(2);
  });
});
