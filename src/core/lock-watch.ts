import type { ServerKey } from "../protocol/ids.ts";
import type { Fact, PortKey } from "./facts.ts";
import type { LockEntry } from "./lock-table.ts";
import type { Coordinator, Task } from "./state.ts";

/** As it is promised: so long a lock outlives the page that has it. */
const graceMs = 5_000;

/** What is promised of server locks, for the watch (invariants.ts): it keeps its own account of pages and steps. */
export interface LockWatch {
  after(fact: Fact, now: number): void;
  /** This prompt goes out now. */
  sent(task: Task, server: ServerKey): void;
}

export function watchLocks(
  c: Coordinator,
  check: (holds: boolean, promise: string, what: string) => void,
): LockWatch {
  /** By tab and lock, the pages that have asked for it; and since when each page is gone. */
  const askers = new Map<string, Set<PortKey>>();
  const goneAt = new Map<PortKey, number>();
  /** In which step a lock was seen first, or a task at its server. */
  const lockedIn = new WeakMap<LockEntry, number>();
  const boundIn = new WeakMap<Task, { readonly server: ServerKey; readonly step: number }>();
  /** Pages that had another host before this one: what they are granted here is theirs. */
  const hadHost = new Set<PortKey>();
  let before = c.locks.table.held;
  let steps = 0;

  function asksFor(tabId: string, lockId: string, port: PortKey): void {
    const name = `${tabId} ${lockId}`;
    askers.set(name, (askers.get(name) ?? new Set()).add(port));
  }

  /** Since when all pages that have asked for it are gone. */
  function orphanedAt({ tabId, lockId }: LockEntry): number {
    const ports = [...(askers.get(`${tabId} ${lockId}`) ?? [])];
    return Math.max(...ports.map((port) => goneAt.get(port) ?? Number.POSITIVE_INFINITY));
  }

  function takeFact(fact: Fact, now: number): void {
    if (fact.type === "tab-said-hello") {
      if (fact.hello.locks) hadHost.add(fact.port);
      for (const { lockId } of fact.hello.locks ?? []) asksFor(fact.hello.tabId, lockId, fact.port);
    } else if (fact.type === "tab-called" && fact.request.method === "lockServer") {
      const tabId = c.ports.get(fact.port)?.tabId;
      if (tabId !== undefined) asksFor(tabId, fact.request.lock.lockId, fact.port);
    } else if (fact.type === "tab-gone" && !goneAt.has(fact.port)) goneAt.set(fact.port, now);
  }

  const exclude = (one: LockEntry, other: LockEntry): boolean =>
    one.tabId !== other.tabId &&
    !(one.mode === "shared" && other.mode === "shared") &&
    one.servers.some((key) => other.servers.includes(key));

  return {
    after(fact, now) {
      steps += 1;
      takeFact(fact, now);
      const { held, waiting } = c.locks.table;
      if (held.length + waiting.length + before.length === 0) return;
      // What was bound while nothing was locked came before.
      const step = before.length === 0 ? steps - 1 : steps;
      for (const task of c.tasks.values()) {
        const { serverKey: server } = task;
        if (server === undefined) boundIn.delete(task);
        else if (boundIn.get(task)?.server !== server) boundIn.set(task, { server, step });
      }
      if (fact.type === "journal-claimed")
        for (const one of before)
          check(
            held.includes(one) || one.port === undefined || !hadHost.has(one.port),
            "lock",
            `${one.tabId} is granted ${one.lockId} before its former holder could come`,
          );
      before = held;
      for (const one of held) {
        if (!lockedIn.has(one)) lockedIn.set(one, steps);
        for (const other of held)
          check(
            !exclude(one, other),
            "mutual exclusion",
            `${one.tabId} and ${other.tabId} both have ${one.servers.join(", ")}`,
          );
        // All timers that are due have just fired.
        check(
          fact.type !== "time-passed" || now < orphanedAt(one) + graceMs,
          "lock",
          `${one.lockId} of ${one.tabId} outlives its page`,
        );
      }
      for (const one of waiting)
        check(
          orphanedAt(one) === Number.POSITIVE_INFINITY,
          "lock",
          `${one.lockId} is waited for by a page that is gone`,
        );
    },
    sent(task, server) {
      const bound = boundIn.get(task)?.step ?? 0;
      for (const one of c.locks.table.held)
        check(
          one.mode === "shared" ||
            one.tabId === task.tabId ||
            !one.servers.includes(server) ||
            (lockedIn.get(one) ?? 0) > bound,
          "lock",
          `${task.id} goes to ${server}, which ${one.tabId} had locked before`,
        );
    },
  };
}
