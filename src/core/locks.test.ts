import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { KnownLock } from "../protocol/session-api.ts";
import { declared, type ScriptedTab, scriptedHost } from "../world/scripted-host.ts";
import { graceMs } from "./locks.ts";

const [one, two] = [declared("http://one.test"), declared("http://two.test")];
const servers = [one, two];

const lock = (tab: ScriptedTab, lockId: string, more: Partial<KnownLock> = {}): unknown =>
  tab.call({ method: "lockServer", lock: { lockId, mode: "exclusive", servers: [one.id], ...more } }).answer;
const any = { servers: undefined } as unknown as Partial<KnownLock>;
const unlock = (tab: ScriptedTab, lockId: string): unknown =>
  tab.call({ method: "unlockServer", lockId }).answer;
const heard = (tab: ScriptedTab): unknown[] => tab.events.filter(({ kind }) => kind === "lock");
const state = (name: string) => ({ ok: { state: name } });

describe("a server lock", () => {
  test("is waited for until whoever has it lets go", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    expect(lock(anna, "a")).toMatchObject(state("granted"));
    expect(lock(ben, "b")).toMatchObject(state("waiting"));
    expect(lock(ben, "b"), "asked again").toMatchObject(state("waiting"));
    unlock(anna, "a");
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "granted", serverIds: [one.id] }]);
  });

  test("is told to all tabs as locked, without saying by whose task", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    const last = (tab: ScriptedTab) => tab.events.findLast(({ kind }) => kind === "server");
    expect(last(anna)).toMatchObject({ server: { lock: { mode: "exclusive", by: "this-tab" } } });
    expect(last(ben)).toMatchObject({ server: { lock: { mode: "exclusive", by: "another-tab" } } });
    unlock(anna, "a");
    expect(last(ben)).not.toMatchObject({ server: { lock: {} } });
  });

  test("keeps other tabs' new tasks off its server until it is free, and draws its own tab's there", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    for (const server of servers) host.openSocket(server, server === one ? 9 : 0);
    lock(anna, "a");
    anna.submit("hers");
    ben.submit("his");
    ben.submit("pinned", { server: one.id });
    expect(host.pending("/prompt").map(({ server }) => server)).toEqual([one.key, two.key]);
    unlock(anna, "a");
    expect(host.pending("/prompt").map(({ server }) => server)).toEqual([one.key, two.key, one.key]);
  });

  test("that is not there at once is not waited for, if so asked", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    expect(lock(ben, "b", { ifAvailable: true })).toMatchObject(state("unavailable"));
    unlock(anna, "a");
    expect(heard(ben)).toEqual([]);
  });

  test("may be stolen, and its loser is told", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    expect(lock(ben, "b", { steal: true })).toMatchObject(state("granted"));
    expect(heard(anna)).toMatchObject([{ lockId: "a", state: "lost" }]);
  });

  test("that its tab waits for is granted when the tab steals what was in its way", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    lock(ben, "b", { mode: "shared" });
    lock(ben, "b2", { steal: true });
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "granted" }]);
  });

  test("is refused where two tabs would wait for each other", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    lock(ben, "b", { servers: [two.id] });
    expect(lock(anna, "a2", { servers: [two.id] })).toMatchObject(state("waiting"));
    expect(lock(ben, "b2")).toMatchObject({
      error: { code: "would-deadlock", details: { serverIds: [one.id] } },
    });
  });

  test("that is stolen ends a wait that could not end any more", () => {
    const host = scriptedHost();
    const names = ["anna", "ben", "carl"];
    const [anna, ben, carl] = names.map((name) => host.tab(name, { servers })) as [
      ScriptedTab,
      ScriptedTab,
      ScriptedTab,
    ];
    lock(carl, "c");
    lock(ben, "b", { servers: [two.id] });
    lock(ben, "b1");
    lock(anna, "a2", { servers: [two.id] });
    lock(anna, "a", { steal: true });
    expect(heard(anna)).toMatchObject([{ lockId: "a2", state: "deadlock" }]);
    unlock(anna, "a");
    expect(heard(ben)).toMatchObject([{ lockId: "b1", state: "granted" }]);
  });

  test("takes the least busy server that is free where none is named", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    for (const server of servers) host.openSocket(server, server === one ? 0 : 9);
    expect(lock(anna, "a", any)).toMatchObject({ ok: { serverIds: [one.id] } });
    expect(lock(ben, "b", any)).toMatchObject({ ok: { serverIds: [two.id] } });
  });

  test("is at a server that its own page has named: another host does not hear of more", () => {
    const host = scriptedHost();
    const [, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(ben, "b");
    const anna = host.tab("anna", { servers: [one] });
    expect(lock(anna, "a", any)).toMatchObject({
      ok: { state: "waiting", serverIds: [one.id] },
    });
    expect(lock(anna, "a2", { servers: [two.id] })).toMatchObject({ error: { code: "not-found" } });
    anna.call({ method: "addServers", servers: [two] });
    expect(lock(anna, "a3", any)).toMatchObject({
      ok: { state: "granted", serverIds: [two.id] },
    });
  });

  test("outlives its page by five seconds, whatever its tasks do, and a reloaded tab takes it again", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    lock(ben, "b");
    host.take({ type: "tab-gone", port: anna.port });
    host.pass(4_000);
    const again = host.tab("anna", { servers });
    expect(lock(again, "a2")).toMatchObject(state("granted"));
    host.pass(10_000);
    expect(heard(ben)).toEqual([]);
    host.take({ type: "tab-gone", port: again.port });
    host.pass(4_999);
    expect(heard(ben)).toEqual([]);
    host.pass(1);
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "granted" }]);
  });

  test("is its page's on another port, where it asks again for what was granted on one that it has left", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna", { servers }), host.tab("ben", { servers })];
    lock(anna, "a");
    lock(ben, "b");
    host.take({ type: "tab-gone", port: anna.port });
    const again = host.tab("anna", { servers });
    expect(lock(again, "a")).toMatchObject(state("granted"));
    host.pass(10_000);
    expect(heard(ben)).toEqual([]);
    unlock(again, "a");
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "granted" }]);
  });

  test("of a tab that is gone is not waited for by a dead page", () => {
    const host = scriptedHost();
    const [anna, ben, carl] = ["anna", "ben", "carl"].map((name) => host.tab(name, { servers })) as [
      ScriptedTab,
      ScriptedTab,
      ScriptedTab,
    ];
    lock(anna, "a");
    lock(ben, "b");
    lock(carl, "c");
    host.take({ type: "tab-gone", port: ben.port });
    unlock(anna, "a");
    expect(heard(carl)).toMatchObject([{ lockId: "c", state: "granted" }]);
  });

  test("outlives its host: what was held goes before what was waited for, whoever comes first", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    const waits = { lockId: "b", mode: "exclusive", servers: [one.id], held: false } as const;
    const ben = host.tab("ben", { servers, locks: [waits] });
    const anna = host.tab("anna", { servers, locks: [{ ...waits, lockId: "a", held: true }] });
    expect(ben.welcome).toMatchObject({ ok: { locks: [{ lockId: "b", state: "waiting" }] } });
    expect(anna.welcome).toMatchObject({ ok: { locks: [{ lockId: "a", state: "granted" }] } });
    host.pass(5_000);
    expect(heard(ben)).toEqual([]);
    unlock(anna, "a");
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "granted" }]);
  });

  test("outlives its host, though a tab that is new was faster", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    const ben = host.tab("ben", { servers });
    expect(lock(ben, "b")).toMatchObject(state("granted"));
    const held = { lockId: "a", mode: "exclusive", servers: [one.id], held: true } as const;
    const anna = host.tab("anna", { servers, locks: [held] });
    expect(anna.welcome).toMatchObject({ ok: { locks: [{ lockId: "a", state: "granted" }] } });
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "lost" }]);
  });

  test("is lost where its page comes to the next host after others were let in", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    const ben = host.tab("ben", { servers, locks: [] });
    expect(lock(ben, "b")).toMatchObject(state("waiting"));
    host.pass(2_000);
    const held = { lockId: "a", mode: "exclusive", servers: [one.id], held: true } as const;
    const anna = host.tab("anna", { servers, locks: [held] });
    expect(anna.welcome).toMatchObject({ ok: { locks: [] } });
    expect(heard(ben)).toMatchObject([{ lockId: "b", state: "granted" }]);
  });

  test("that is stolen at a new host is not taken back by whoever had it before", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    const ben = host.tab("ben", { servers });
    lock(ben, "b", { steal: true });
    const held = { lockId: "a", mode: "exclusive", servers: [one.id], held: true } as const;
    const anna = host.tab("anna", { servers, locks: [held] });
    expect(anna.welcome).toMatchObject({ ok: { locks: [] } });
    expect(heard(ben)).toEqual([]);
  });

  test("is waited for at a host that its page comes to later, too", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    host.tab("anna", { servers, locks: [] });
    host.pass(10_000);
    const waits = { lockId: "b", mode: "exclusive", servers: [one.id], held: false } as const;
    const ben = host.tab("ben", { servers, locks: [waits] });
    expect(ben.welcome).toMatchObject({ ok: { locks: [{ lockId: "b", state: "granted" }] } });
  });

  test("is kept for its tab where the next host was busy before it met the first page", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    host.take({ type: "host-started" });
    host.pass(10_000);
    const waits = { lockId: "b", mode: "exclusive", servers: [one.id], held: false } as const;
    host.tab("ben", { servers, locks: [waits] });
    const anna = host.tab("anna", { servers, locks: [{ ...waits, lockId: "a", held: true }] });
    expect(anna.welcome).toMatchObject({ ok: { locks: [{ lockId: "a", state: "granted" }] } });
  });

  test("is lost where a new host has given it away already", () => {
    const host = scriptedHost({ epoch: "epoch-2" });
    const held = { mode: "exclusive", servers: [one.id], held: true } as const;
    host.tab("ben", { servers, locks: [{ ...held, lockId: "b" }] });
    const anna = host.tab("anna", { servers, locks: [{ ...held, lockId: "a" }] });
    expect(anna.welcome).toMatchObject({ ok: { locks: [] } });
  });
});

/** What tabs do with one lock of three servers' worth, and how time passes. */
const act = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant("lock" as const), tab: fc.nat(2), server: fc.nat(2) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("steal" as const), tab: fc.nat(2), server: fc.nat(2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("unlock" as const), tab: fc.nat(2), server: fc.nat(2) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("leave" as const), tab: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("return" as const), tab: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.nat(7_000) }) },
);

test("10,000 random schedules: no lock outlives its page by more than the grace", () => {
  const three = [...servers, declared("http://three.test")];
  fc.assert(
    fc.property(fc.array(act, { maxLength: 14 }), (acts) => {
      const host = scriptedHost();
      const open = (at: number): ScriptedTab => host.tab(`tab ${at}`, { servers: three });
      const tabs: (ScriptedTab | undefined)[] = [open(0), open(1), open(2)];
      const goneAt = new Map<number, number>();
      for (const one of acts) {
        const tab = "tab" in one ? tabs[one.tab] : undefined;
        if (one.do === "pass") host.pass(one.ms);
        else if (one.do === "return") tabs[one.tab] ??= open(one.tab);
        else if (!tab) continue;
        else if (one.do === "leave") {
          host.take({ type: "tab-gone", port: tab.port });
          goneAt.set(tab.port, host.now);
          tabs[one.tab] = undefined;
        } else {
          const lockId = `${tab.port} ${one.server}`;
          const wanted = [three[one.server]?.id ?? ""];
          if (one.do === "unlock") unlock(tab, lockId);
          else lock(tab, lockId, { servers: wanted, ...(one.do === "steal" ? { steal: true } : {}) });
        }
        const { held, waiting } = host.coordinator.locks.table;
        for (const { lockId } of held) {
          const left = goneAt.get(Number(lockId.split(" ")[0]));
          if (left !== undefined) expect(host.now - left).toBeLessThan(graceMs);
        }
        for (const { port } of waiting) expect(host.coordinator.ports.has(port ?? -1)).toBe(true);
      }
      // When all have gone, nothing is left of it.
      for (const tab of tabs) if (tab) host.take({ type: "tab-gone", port: tab.port });
      host.pass(graceMs);
      expect(host.coordinator.locks.table.held).toEqual([]);
    }),
    { numRuns: 10_000 },
  );
}, 120_000);
