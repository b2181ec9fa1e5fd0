import { describe, expect, test } from "vitest";
import { journalModel } from "../world/journal-model.ts";
import { comfy, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";

const left = (host: ScriptedHost, port: number): void => void host.take({ type: "tab-gone", port });
const cancels = (host: ScriptedHost) =>
  host.pending(/\/cancel$|^\/queue$/).filter(({ method }) => method === "POST");

function running(cancelAfterMs?: number, tabsElsewhere = new Set<string>()) {
  const journal = journalModel();
  const host = scriptedHost({ journal, journalKind: "indexeddb", tabsElsewhere });
  const anna = host.tab("anna");
  host.openSocket();
  host.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
  const { taskId, promptId } = anna.submit("portrait", cancelAfterMs === undefined ? {} : { cancelAfterMs });
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  host.say({ type: "execution_start", promptId });
  return { journal, host, anna, taskId, promptId };
}

describe("a task whose tab has gone", () => {
  test("is kept, if nothing else was asked for", () => {
    const { host, anna } = running();
    left(host, anna.port);
    host.pass(60 * 60_000);
    expect(cancels(host)).toEqual([]);
  });

  test("is cancelled after the time that was asked for", () => {
    const { host, anna, promptId } = running(30_000);
    left(host, anna.port);
    host.pass(29_000);
    expect(cancels(host)).toEqual([]);
    host.pass(1_001);
    expect(cancels(host).map(({ path }) => path)).toEqual([`/api/jobs/${promptId}/cancel`]);
  });

  test("goes on for as long as the tab lives at another host, and is cancelled when it has gone there, too", () => {
    const elsewhere = new Set(["tab-anna"]);
    const { host, anna } = running(30_000, elsewhere);
    left(host, anna.port);
    host.pass(100_000);
    expect(cancels(host)).toEqual([]);
    elsewhere.clear();
    host.pass(31_000);
    expect(cancels(host)).toHaveLength(1);
  });

  test("is not cancelled as overdue while the tab lives at another host", () => {
    const { host, anna, journal } = running(30_000);
    left(host, anna.port);
    const tabsElsewhere = new Set(["tab-anna"]);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb", tabsElsewhere });
    next.now = 45_000;
    next.take({ type: "host-started" });
    next.openSocket(comfy);
    next.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    next.pass(3_000);
    expect(next.coordinator.tasks.size).toBe(1);
    expect(cancels(next)).toEqual([]);
  });

  test("is sent when the tab comes to a host that had it from the journal before", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    const { promptId } = anna.submit("portrait", { server: comfy.id, cancelAfterMs: 30_000 });
    left(first, anna.port);
    const tabsElsewhere = new Set(["tab-anna"]);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb", tabsElsewhere });
    next.now = 45_000;
    next.take({ type: "host-started" });
    expect(next.coordinator.tasks.size).toBe(1);
    next.tab("anna");
    next.openSocket();
    expect(next.pending("/prompt").map(({ body }) => body?.includes(promptId))).toEqual([true]);
  });

  test("is looked for, not sent, when a page has noted that no journal may know of its POST", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    anna.submit("portrait", { cancelAfterMs: 30_000 });
    left(first, anna.port);
    const tabsElsewhere = new Set(["tab-anna"]);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb", tabsElsewhere });
    next.now = 45_000;
    next.take({ type: "host-started" });
    next.tab("anna", { losses: "epoch-1" });
    next.openSocket();
    expect(next.pending("/prompt").filter(({ method }) => method === "POST")).toEqual([]);
    next.pass(1_000);
    expect(next.pending("/queue")).toHaveLength(1);
  });

  test("goes on when its tab comes back in time", () => {
    const { host, anna } = running(30_000);
    left(host, anna.port);
    host.pass(29_000);
    host.tab("anna");
    host.pass(60_000);
    expect(cancels(host)).toEqual([]);
  });

  test("is cancelled in time also when its tab came back only for a moment, before the journal had answered", () => {
    const { host, anna } = running(30_000);
    left(host, anna.port);
    host.pass(25_000);
    host.holdJournal("all");
    left(host, host.tab("anna").port);
    host.pass(10_000);
    expect(cancels(host)).toEqual([]);
    host.releaseJournal();
    host.pass(29_000);
    expect(cancels(host)).toEqual([]);
    host.pass(2_000);
    expect(cancels(host)).toHaveLength(1);
  });

  test("is not cancelled when it came back under the next host, which says so in the journal", () => {
    const { host, anna, journal } = running(30_000);
    left(host, anna.port);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb" });
    next.now = 5_000;
    next.tab("anna");
    expect([...journal.entries.values()].map(({ cancelAt }) => cancelAt)).toEqual([undefined]);
  });

  test("is cancelled by the next host, if its own died meanwhile", () => {
    const { host, anna, journal, promptId } = running(30_000);
    left(host, anna.port);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb" });
    next.now = 45_000;
    next.take({ type: "host-started" });
    next.openSocket(comfy);
    next.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    next.pass(3_000);
    expect(cancels(next).map(({ path }) => path)).toContain(`/api/jobs/${promptId}/cancel`);
    const again = next.tab("anna");
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ promptId }] } });
  });

  test("is forgotten when nobody could cancel it for a week: its server has gone for good", () => {
    const { host, anna, journal } = running(30_000);
    left(host, anna.port);
    const day = 24 * 60 * 60_000;
    const nextAfter = (days: number) => {
      const next = scriptedHost({ journal, epoch: `epoch-${days}`, journalKind: "indexeddb" });
      next.now = days * day;
      next.take({ type: "host-started" });
      return next;
    };
    const early = nextAfter(6);
    expect(early.coordinator.tasks.size).toBe(1);
    const late = nextAfter(8);
    expect([late.coordinator.tasks.size, journal.entries.size]).toEqual([0, 0]);
    expect(late.effects.some((effect) => effect.do === "open-socket")).toBe(false);
    late.pass(60 * 60_000);
    expect(late.coordinator.tabs.size).toBe(0);
  });

  test("is left alone by the next host until its time is over", () => {
    const { host, anna, journal } = running(30_000);
    left(host, anna.port);
    const next = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb" });
    next.now = 20_000;
    next.take({ type: "host-started" });
    expect(next.coordinator.tasks.size).toBe(0);
    next.pass(61_000);
    expect(next.coordinator.tasks.size).toBe(1);
  });
});

describe("an ended task", () => {
  test("is forgotten after a day, in the journal, too", () => {
    const { host, anna, taskId, promptId } = running();
    host.take({ type: "host-started" });
    host.say({ type: "execution_success", promptId }, { type: "executing", promptId, nodeId: null });
    expect(anna.heard(taskId).at(-1)).toBe("succeeded");
    host.pass(23 * 60 * 60_000);
    expect(host.coordinator.tasks.has(taskId)).toBe(true);
    host.pass(2 * 60 * 60_000);
    expect(host.coordinator.tasks.has(taskId)).toBe(false);
    expect(host.effects.some((effect) => effect.do === "expire-journal")).toBe(true);
  });

  test("is the last that is known of its tab, where that has gone", () => {
    const { host, anna, promptId } = running();
    host.take({ type: "host-started" });
    host.say({ type: "execution_success", promptId }, { type: "executing", promptId, nodeId: null });
    host.take({ type: "tab-gone", port: anna.port });
    host.pass(25 * 60 * 60_000);
    expect(host.coordinator.tabs.size).toBe(0);
  });
});
