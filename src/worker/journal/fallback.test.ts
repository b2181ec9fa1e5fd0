import { describe, expect, test } from "vitest";
import { type ClosableStorage, journalWithFallback } from "./fallback.ts";
import type { Journal } from "./journal.ts";
import { contract, newEntry } from "./journal-contract.ts";
import { memoryJournal } from "./memory.ts";

const never = (): Promise<never> => new Promise(() => {});
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Timers that ring when the test says so, in the order in which they are due. */
function handClock() {
  const timers = new Map<() => void, number>();
  let now = 0;
  return {
    waiting: () => timers.size,
    after(ms: number, then: () => void) {
      const ring = (): void => then();
      timers.set(ring, now + ms);
      return () => void timers.delete(ring);
    },
    /** Only what is due when it is called rings: all at once, as when a frozen worker wakes. */
    pass(ms: number) {
      now += ms;
      const due = [...timers].filter(([, at]) => at <= now);
      for (const [ring] of due) if (timers.delete(ring)) ring();
    },
  };
}

/** Takes two turns to forget. */
function storageIn(journal: Journal): Omit<ClosableStorage, "close"> {
  let isFirstTurn = false;
  return {
    ...journal,
    async flush() {},
    async expire(before, perTab, inAll) {
      isFirstTurn = !isFirstTurn;
      if (!isFirstTurn) await journal.expire(before, perTab, inAll);
      return isFirstTurn;
    },
  };
}

/** A storage that works, but for what the test breaks. */
function startJournal(broken: Partial<ClosableStorage> = {}, open?: () => Promise<ClosableStorage>) {
  const clock = handClock();
  const reasons: string[] = [];
  const state = { closed: 0, lose: (_reason: string): void => {} };
  const storage: ClosableStorage = {
    ...storageIn(memoryJournal()),
    close() {
      state.closed += 1;
    },
    ...broken,
  };
  const journal = journalWithFallback({
    open(onLost) {
      state.lose = onLost;
      return open ? open() : Promise.resolve(storage);
    },
    after: clock.after,
    onDegraded: (reason) => reasons.push(reason),
  });
  return { journal, clock, reasons, state, storage };
}

const claimAnna = ({ journal }: Pick<ReturnType<typeof startJournal>, "journal">) =>
  journal.claim("tab-anna", "secret-anna");

describe("a journal in a storage that works", () => {
  const journals = contract.filter(({ durable }) => !durable);
  test.each(journals)("$says", ({ check }) => check(() => startJournal().journal));

  test("tells of endings before the disk has them, and asks for the disk at once, for many together", async () => {
    const done: string[] = [];
    const inner = memoryJournal();
    const { journal } = startJournal({
      write(entry, isNew) {
        done.push(entry.taskId);
        return inner.write(entry, isNew);
      },
      async flush() {
        done.push("flush");
      },
    });
    const tell = async (taskId: string, settledAt?: number): Promise<void> => {
      await journal.write(newEntry({ taskId, settledAt }), true);
      done.push(`${taskId} told`);
    };
    await Promise.all([tell("a", 1), tell("b", 2), tell("open")]);
    await tell("c", 3);
    await settled();
    expect(done.join(", ")).toBe("a, a told, b, b told, open, open told, flush, c, c told, flush");
  });

  test("leaves no timer behind, and says that it is in IndexedDB", async () => {
    const { journal, clock, reasons } = startJournal();
    await journal.write(newEntry(), true);
    expect([clock.waiting(), journal.kind, reasons]).toEqual([0, "indexeddb", []]);
  });
});

describe("a journal whose storage", () => {
  const failures: [string, Partial<ClosableStorage>, (() => Promise<ClosableStorage>) | undefined][] = [
    ["is refused", {}, () => Promise.reject(new DOMException("denied", "SecurityError"))],
    ["is full", { write: () => Promise.reject(new DOMException("full", "QuotaExceededError")) }, undefined],
    ["cannot be read", { claim: () => Promise.reject(new TypeError("unknown")) }, undefined],
    [
      "fails at the disk",
      { flush: () => Promise.reject(new DOMException("full", "QuotaExceededError")) },
      undefined,
    ],
    ["cannot be erased", { erase: () => Promise.reject(new Error("unknown")) }, undefined],
  ];
  test.each(failures)("%s keeps its contract in memory", async (_how, broken, open) => {
    for (const { durable, check } of contract) {
      if (durable) continue;
      await check(() => startJournal(broken, open).journal);
    }
    const { journal, reasons, state } = startJournal(broken, open);
    await journal.write(newEntry({ settledAt: 1 }), true);
    await journal.claim("tab-anna", "secret-anna");
    await journal.erase(["portrait"]);
    expect(journal.kind).toBe("memory");
    expect(reasons).toHaveLength(1);
    expect(reasons[0]).toMatch(/denied|full|unknown/);
    expect(state.closed).toBe(open ? 0 : 1);
  });

  test("does not open in two seconds is not waited for, and closed when it opens after all", async () => {
    let openLate = (_storage: ClosableStorage): void => {};
    const started = startJournal({}, () => new Promise((resolve) => (openLate = resolve)));
    const { journal, clock, reasons, state, storage } = started;
    const written = journal.write(newEntry(), true);
    clock.pass(1000);
    await settled();
    expect(reasons).toEqual([]);
    clock.pass(1000);
    expect(await written).toBe("written");
    expect(reasons).toEqual(["the storage has not answered for 2000 ms"]);
    openLate(storage);
    await settled();
    expect(state.closed).toBe(1);
    expect(await claimAnna(started)).toHaveLength(1);
    expect(await storage.claim("tab-anna", "secret-anna")).toEqual([]);
  });

  test.each(["blocked", "being deleted"])("is %s while it opens is given up at once", async (reason) => {
    const started = startJournal({}, never);
    const written = started.journal.write(newEntry(), true);
    started.state.lose(reason);
    expect(await written).toBe("written");
    expect(started.reasons).toEqual([reason]);
    expect(started.clock.waiting()).toBe(0);
  });

  test("hangs is given up after two seconds, and everything that waited is done in order", async () => {
    let working = memoryJournal();
    const storage = memoryJournal();
    const started = startJournal({ write: (entry, isNew) => working.write(entry, isNew) });
    working = storage;
    await started.journal.write(newEntry(), true);
    working = { ...storage, write: never };
    const waiting = Promise.all([
      started.journal.write(newEntry({ label: "second" }), false),
      started.journal.write(newEntry({ taskId: "upscale" }), false),
      started.journal.erase(["portrait"]),
      started.journal.write(newEntry({ label: "third" }), false),
    ]);
    await settled();
    started.clock.pass(1000);
    started.clock.pass(1000);
    expect(await waiting).toEqual(["written", "superseded", undefined, "superseded"]);
    expect(started.reasons).toHaveLength(1);
  });

  test("answers slowly is not given up: each step has its own two seconds", async () => {
    const answers: (() => void)[] = [];
    const inner = memoryJournal();
    const { journal, clock, reasons } = startJournal({
      write: (entry, isNew) =>
        new Promise((resolve) => answers.push(() => void inner.write(entry, isNew).then(resolve))),
    });
    const written = ["a", "b", "c"].map((taskId) => journal.write(newEntry({ taskId }), true));
    for (const one of written) {
      await settled();
      clock.pass(1000);
      clock.pass(900);
      answers.shift()?.();
      expect(await one).toBe("written");
    }
    expect([journal.kind, reasons]).toEqual(["indexeddb", []]);
  });

  test("answers while the worker was frozen is heard, though its time is over", async () => {
    let answer = (): void => {};
    const { journal, clock } = startJournal({
      write: () => new Promise((resolve) => (answer = () => resolve("written"))),
    });
    const written = journal.write(newEntry(), true);
    await settled();
    clock.pass(3_600_000);
    answer();
    expect(await written).toBe("written");
    expect([journal.kind, clock.waiting()]).toEqual(["indexeddb", 0]);
  });

  test("is taken away loses nothing that the host wrote or claimed", async () => {
    const inner = memoryJournal();
    await inner.write(newEntry({ taskId: "inherited", createdAt: 1 }), true);
    await inner.write(newEntry({ taskId: "overdue", createdAt: 2, tabId: "tab-ben", cancelAt: 1 }), true);
    const started = startJournal(storageIn(inner));
    const { journal, reasons, state } = started;
    await claimAnna(started);
    await journal.claimOverdue(5);
    await journal.write(newEntry({ label: "first" }), true);
    await journal.write(newEntry({ label: "second" }), false);
    await journal.write(newEntry({ taskId: "dismissed" }), true);
    await journal.erase(["dismissed"]);
    await journal.write(newEntry({ taskId: "expired", settledAt: 1 }), true);
    await journal.expire(2, 10, 10);
    state.lose("deleted");
    expect([journal.kind, reasons, state.closed]).toEqual(["memory", ["deleted"], 1]);
    const left = [...(await claimAnna(started)), ...(await journal.claimOverdue(5))];
    expect(left.map(({ taskId, label, generation }) => [taskId, label, generation])).toEqual([
      ["inherited", undefined, 3],
      ["portrait", "second", 2],
      ["overdue", undefined, 3],
    ]);
  });

  test("is taken away does not bring back what another host has taken over", async () => {
    const inner = memoryJournal();
    const started = startJournal(storageIn(inner));
    await started.journal.write(newEntry(), true);
    await inner.claim("tab-anna", "secret-anna");
    expect(await started.journal.write(newEntry(), false)).toBe("superseded");
    started.state.lose("deleted");
    expect(await claimAnna(started)).toEqual([]);
  });

  test("is taken away while it works settles the step, and says so once", async () => {
    const started = startJournal({ write: never });
    const written = started.journal.write(newEntry(), true);
    await settled();
    started.state.lose("deleted");
    started.state.lose("closed");
    expect(await written).toBe("written");
    expect(started.reasons).toEqual(["deleted"]);
    expect(started.clock.waiting()).toBe(0);
  });
});
