import type { ServerKey } from "../protocol/ids.ts";

export type LockMode = "exclusive" | "shared";

/** A lock that a tab holds or waits for: on one server, or on several, all or none. */
export interface LockEntry {
  readonly tabId: string;
  readonly lockId: string;
  readonly mode: LockMode;
  readonly servers: readonly ServerKey[];
}

/**
 * Who holds which server, and who waits, in the order in which they came. Tabs exclude each other; what one
 * tab holds is no obstacle to itself. The words and rules are those of the Web Locks API, with tabs as owners.
 */
export interface LockTable<E extends LockEntry> {
  readonly held: readonly E[];
  readonly waiting: readonly E[];
  find(tabId: string, lockId: string): { readonly entry: E; readonly isHeld: boolean } | undefined;
  /** What is held and excludes it. */
  heldAgainst(entry: LockEntry): E[];
  /** Whether it would be granted at once. */
  isFree(entry: LockEntry): boolean;
  /** Whether a tab that waits for this one would wait for itself in the end. */
  wouldDeadlock(entry: LockEntry): boolean;
  /** At the end of the queue. */
  enqueue(entry: E): void;
  /** Grants it over all others. @returns who has lost theirs */
  steal(entry: E): E[];
  /**
   * Ends waits that could not end: what was stolen or let go may have closed a cycle. @returns them, of each
   * cycle the last to come
   */
  breakCycles(): E[];
  /** Held or waiting. */
  remove(entry: E): void;
  /** @returns what is held from now on, because nothing before it is in its way any more */
  grant(): E[];
}

const share = (one: LockEntry, other: LockEntry): boolean =>
  one.servers.some((server) => other.servers.includes(server));

/** They cannot be held at the same time. */
const exclude = (one: LockEntry, other: LockEntry): boolean =>
  one.tabId !== other.tabId && (one.mode === "exclusive" || other.mode === "exclusive") && share(one, other);

export function createLockTable<E extends LockEntry>(): LockTable<E> {
  let held: E[] = [];
  let waiting: E[] = [];

  const heldAgainst = (entry: LockEntry): E[] => held.filter((other) => exclude(entry, other));

  /**
   * All that has to go before this can be granted, first come first served. Whoever waits for this tab anyway
   * is passed over: two parts of one page, or a page that is loaded anew, would wait for each other.
   */
  const obstacles = (entry: LockEntry): E[] => {
    const own = held.filter(({ tabId }) => tabId === entry.tabId);
    const place = waiting.indexOf(entry as E);
    const before = (place < 0 ? waiting : waiting.slice(0, place)).filter(
      (other) => !own.some((mine) => exclude(mine, other)),
    );
    return [...heldAgainst(entry), ...before.filter((other) => exclude(entry, other))];
  };

  const wouldDeadlock = (entry: LockEntry): boolean => {
    const seen = new Set<string>();
    const next = obstacles(entry).map(({ tabId }) => tabId);
    for (let tab = next.pop(); tab !== undefined; tab = next.pop()) {
      if (tab === entry.tabId) return true;
      if (seen.has(tab)) continue;
      seen.add(tab);
      for (const other of waiting)
        if (other.tabId === tab) next.push(...obstacles(other).map(({ tabId }) => tabId));
    }
    return false;
  };

  return {
    get held() {
      return held;
    },
    get waiting() {
      return waiting;
    },
    find(tabId, lockId) {
      const is = (entry: E): boolean => entry.tabId === tabId && entry.lockId === lockId;
      const mine = held.find(is);
      const entry = mine ?? waiting.find(is);
      return entry && { entry, isHeld: mine !== undefined };
    },
    heldAgainst,
    isFree: (entry) => obstacles(entry).length === 0,
    wouldDeadlock,
    breakCycles() {
      const broken: E[] = [];
      for (const entry of [...waiting].reverse())
        if (wouldDeadlock(entry)) {
          waiting = waiting.filter((other) => other !== entry);
          broken.push(entry);
        }
      return broken;
    },
    enqueue(entry) {
      waiting = [...waiting, entry];
    },
    steal(entry) {
      const lost = heldAgainst(entry);
      held = [...held.filter((other) => !lost.includes(other)), entry];
      return lost;
    },
    remove(entry) {
      held = held.filter((other) => other !== entry);
      waiting = waiting.filter((other) => other !== entry);
    },
    grant() {
      const granted: E[] = [];
      for (const entry of waiting)
        if (obstacles(entry).length === 0) {
          granted.push(entry);
          held = [...held, entry];
          waiting = waiting.filter((other) => other !== entry);
        }
      return granted;
    },
  };
}
