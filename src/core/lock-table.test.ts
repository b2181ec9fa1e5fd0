import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ServerKey } from "../protocol/ids.ts";
import { createLockTable, type LockEntry, type LockMode } from "./lock-table.ts";

const lock = (tabId: string, servers: string, mode: LockMode = "exclusive"): LockEntry => ({
  tabId,
  lockId: `${tabId} ${servers} ${mode}`,
  mode,
  servers: servers.split(",") as ServerKey[],
});

describe("a lock", () => {
  test("that only adds to what its tab holds does not wait for those who wait for that tab", () => {
    const table = createLockTable<LockEntry>();
    table.enqueue(lock("anna", "a", "shared"));
    table.enqueue(lock("ben", "a"));
    table.grant();
    expect(table.isFree(lock("anna", "a"))).toBe(true);
    expect(table.isFree(lock("carl", "a", "shared"))).toBe(false);
  });

  test("is granted at once when nothing is in its way, and else when that has gone", () => {
    const table = createLockTable<LockEntry>();
    const [anna, ben] = [lock("anna", "a"), lock("ben", "a")];
    table.enqueue(anna);
    table.enqueue(ben);
    expect(table.grant()).toEqual([anna]);
    table.remove(anna);
    expect(table.grant()).toEqual([ben]);
  });

  test("that is shared is held by several tabs, and does not overtake one that is exclusive", () => {
    const table = createLockTable<LockEntry>();
    const [anna, ben, carl] = [lock("anna", "a", "shared"), lock("ben", "a"), lock("carl", "a", "shared")];
    for (const entry of [anna, ben, carl]) table.enqueue(entry);
    expect(table.grant()).toEqual([anna]);
    table.remove(ben);
    expect(table.grant()).toEqual([carl]);
  });

  test("on several servers takes all or none", () => {
    const table = createLockTable<LockEntry>();
    const [anna, ben, carl] = [lock("anna", "a"), lock("ben", "a,b"), lock("carl", "b")];
    for (const entry of [anna, ben, carl]) table.enqueue(entry);
    expect(table.grant()).toEqual([anna]);
    table.remove(anna);
    expect(table.grant()).toEqual([ben]);
  });

  test("that would close a cycle of waiting is told, also over several tabs", () => {
    const table = createLockTable<LockEntry>();
    for (const entry of [lock("anna", "a"), lock("ben", "b"), lock("carl", "c")]) table.enqueue(entry);
    table.grant();
    table.enqueue(lock("anna", "b"));
    table.enqueue(lock("ben", "c"));
    expect(table.wouldDeadlock(lock("carl", "a"))).toBe(true);
    expect(table.wouldDeadlock(lock("dora", "a"))).toBe(false);
  });

  test("that is stolen is lost by those that it excludes, and by no other", () => {
    const table = createLockTable<LockEntry>();
    const [anna, ben, carl] = [lock("anna", "a"), lock("ben", "b"), lock("carl", "a")];
    for (const entry of [anna, ben]) table.enqueue(entry);
    table.grant();
    expect(table.steal(carl)).toEqual([anna]);
    expect(table.held).toEqual([ben, carl]);
  });
});

/** One thing that a tab does. `pick` chooses among what there is to choose from. */
type Act =
  | { readonly do: "request"; readonly tab: string; readonly servers: string; readonly mode: LockMode }
  | { readonly do: "steal"; readonly tab: string; readonly servers: string }
  | { readonly do: "release"; readonly pick: number }
  | { readonly do: "die"; readonly tab: string };

const tab = fc.constantFrom("anna", "ben", "carl", "dora");
const servers = fc.constantFrom("a", "b", "c", "a,b", "b,c", "a,b,c");
const act: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("request" as const),
      tab,
      servers,
      mode: fc.constantFrom("exclusive" as const, "shared" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("steal" as const), tab, servers }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("release" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("die" as const), tab }) },
);

/** Said without the table's own code: two tabs, one server, and not both shared. */
const clash = (one: LockEntry, other: LockEntry): boolean =>
  one.tabId !== other.tabId &&
  !(one.mode === "shared" && other.mode === "shared") &&
  one.servers.filter((server) => other.servers.includes(server)).length > 0;

test("10,000 random schedules: no two exclude each other, none overtakes, and in the end each is granted", () => {
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const table = createLockTable<LockEntry & { readonly number: number }>();
      let number = 0;
      const make = (tabId: string, names: string, mode: LockMode) => {
        number += 1;
        return { ...lock(tabId, names, mode), lockId: String(number), number };
      };
      const check = (): void => {
        table.breakCycles();
        table.grant();
        const { held, waiting } = table;
        for (const one of held) for (const other of held) expect(clash(one, other)).toBe(false);
        const waitsFor = (tabId: string, other: LockEntry): boolean =>
          held.some((mine) => mine.tabId === tabId && clash(mine, other));
        for (const one of waiting) {
          expect(table.wouldDeadlock(one), "waits for ever").toBe(false);
          const before = waiting.filter((other) => other.number < one.number && !waitsFor(one.tabId, other));
          const inTheWay = [...held, ...before].some((other) => clash(one, other));
          expect(inTheWay, "waits for nothing").toBe(true);
        }
        for (const one of held)
          for (const other of waiting) {
            const mayPass = held.some(
              (mine) => mine !== one && mine.tabId === one.tabId && clash(mine, other),
            );
            if (other.number < one.number && !stolen.has(one.number) && !mayPass && !passed.has(one.number))
              expect(clash(one, other), "overtakes").toBe(false);
            if (mayPass) passed.add(one.number);
          }
      };
      const stolen = new Set<number>();
      /** Granted to a tab for which the others waited anyway. */
      const passed = new Set<number>();
      for (const one of acts) {
        if (one.do === "request") {
          const entry = make(one.tab, one.servers, one.mode);
          if (!table.wouldDeadlock(entry)) table.enqueue(entry);
        } else if (one.do === "steal") {
          const entry = make(one.tab, one.servers, "exclusive");
          stolen.add(entry.number);
          table.steal(entry);
          for (const other of [...table.waiting].reverse())
            if (table.wouldDeadlock(other)) table.remove(other);
        } else if (one.do === "release") {
          const entry = table.held[one.pick % Math.max(1, table.held.length)];
          if (entry) table.remove(entry);
        } else
          for (const entry of [...table.held, ...table.waiting])
            if (entry.tabId === one.tab) table.remove(entry);
        check();
      }
      // Nobody waits for ever: as those who hold let go, everyone's turn comes.
      while (table.held.length + table.waiting.length > 0) {
        const [first] = table.held;
        expect(first, `${table.waiting.length} wait, and nobody holds anything`).toBeDefined();
        if (first) table.remove(first);
        check();
      }
      expect(table.waiting).toEqual([]);
    }),
    { numRuns: 10_000 },
  );
}, 60_000);
