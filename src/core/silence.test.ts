import { describe, expect, test } from "vitest";
import { comfy, type ScriptedHost, type ScriptedTab, scriptedHost } from "../world/scripted-host.ts";

const minute = 60_000;
const dropped = (host: ScriptedHost): number[] =>
  host.effects.flatMap((effect) => (effect.do === "drop-port" ? [effect.port] : []));
const lock = (tab: ScriptedTab): void =>
  void tab.call({ method: "lockServer", lock: { lockId: "a", mode: "exclusive", servers: [comfy.id] } });

/** A page without Web Locks that crashed: it says nothing, not even goodbye. */
function withSilentTab({ pings = true, cancelAfterMs = undefined as number | undefined } = {}) {
  const host = scriptedHost();
  host.take({ type: "host-started" });
  const anna = host.tab("anna", { pings });
  host.openSocket();
  host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
  const { taskId, promptId } = anna.submit("portrait", cancelAfterMs === undefined ? {} : { cancelAfterMs });
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  host.say({ type: "execution_start", promptId });
  lock(anna);
  return { host, anna, taskId };
}

describe("a page without a lock", () => {
  test("counts as gone after six minutes without a word, and its server is free", () => {
    const { host, anna } = withSilentTab();
    const ben = host.tab("ben");
    host.pass(5 * minute);
    expect([dropped(host), host.coordinator.locks.table.held.length]).toEqual([[], 1]);
    host.pass(minute + 5_000);
    expect([dropped(host), host.coordinator.locks.table.held.length]).toEqual([[anna.port], 0]);
    expect(ben.call({ method: "diagnostics" }).answer).toMatchObject({ ok: { tabs: 1 } });
  });

  test("may be silent for a while, as hidden and busy ones are", () => {
    const { host, anna } = withSilentTab();
    for (let count = 0; count < 20; count += 1) {
      host.pass(4.9 * minute);
      anna.call({ method: "diagnostics" });
    }
    expect(dropped(host)).toEqual([]);
  });

  test("is not held responsible for the sleep of the computer", () => {
    const { host } = withSilentTab();
    host.now += 8 * 60 * minute;
    host.take({ type: "time-passed" });
    host.pass(4 * minute);
    expect(dropped(host)).toEqual([]);
  });

  test("is heard before it is given up where its host was held up", () => {
    const { host, anna } = withSilentTab();
    host.pass(5.5 * minute);
    host.now += 2 * minute;
    host.take({ type: "time-passed" });
    expect(dropped(host)).toEqual([]);
    anna.call({ method: "diagnostics" });
    host.pass(minute);
    expect(dropped(host)).toEqual([]);
    host.pass(6 * minute);
    expect(dropped(host)).toEqual([anna.port]);
  });

  test("has its tasks go on, whatever it wanted for its end: it may only be frozen", () => {
    const { host, taskId } = withSilentTab({ cancelAfterMs: 1_000 });
    host.pass(60 * minute);
    expect(dropped(host)).toHaveLength(1);
    expect(host.pending(/\/cancel$/)).toEqual([]);
    expect(host.coordinator.tasks.get(taskId)?.stage.at).toBe("running");
  });

  test("that comes back finds its task, and its server if nobody else has taken it", () => {
    const { host, taskId } = withSilentTab();
    host.pass(10 * minute);
    const held = { lockId: "a", mode: "exclusive", servers: [comfy.id], held: true } as const;
    const again = host.tab("anna", { pings: true, locks: [held] });
    expect(again.welcome).toMatchObject({
      ok: { tasks: [{ taskId }], locks: [{ lockId: "a", state: "granted" }] },
    });
    const ben = host.tab("ben");
    lock(ben);
    expect(host.coordinator.locks.table.waiting).toHaveLength(1);
  });

  test("has half an hour in the back/forward cache, and is told there that it was given up", () => {
    const { host, anna } = withSilentTab();
    host.take({ type: "tab-suspended", port: anna.port });
    host.pass(30 * minute);
    expect(dropped(host)).toEqual([]);
    host.take({ type: "tab-resumed", port: anna.port });
    host.take({ type: "tab-suspended", port: anna.port });
    host.pass(32 * minute);
    expect(dropped(host)).toEqual([anna.port]);
  });
});

test("a page whose lock tells its end is not listened for", () => {
  const { host } = withSilentTab({ pings: false });
  host.pass(60 * minute);
  expect(dropped(host)).toEqual([]);
});
