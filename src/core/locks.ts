import { wireError } from "../protocol/errors.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { KnownLock, LockState, ServerSnapshot } from "../protocol/session-api.ts";
import { answer, deliver } from "./delivery.ts";
import type { CallKey, DeclaredServer, PortKey } from "./facts.ts";
import { createLockTable, type LockEntry, type LockTable } from "./lock-table.ts";
import { choose } from "./scheduling.ts";
import { announceServer } from "./servers.ts";
import type { Coordinator, Tab } from "./state.ts";
import { setTimer } from "./timers.ts";

/** A tab whose page is gone has so long to come back for what it held, as on a reload; its tasks do not matter. */
export const graceMs = 5_000;
/** After a host has died, its tabs come back one by one: what they held goes before what others want. */
const reclaimMs = 2_000;

/** A lock of a tab, and the page that asked for it. */
export interface ServerLockEntry extends LockEntry {
  /** By the tab's own names. */
  readonly serverIds: readonly string[];
  /** Undefined: that page is gone. */
  port: PortKey | undefined;
  /** When it is freed unless the tab has taken it again; epoch of the host's own clock. */
  freeAt: number;
  /** Older than this host, or stolen: no former holder takes it back. */
  readonly isFirm: boolean;
}

export interface Locks {
  readonly table: LockTable<ServerLockEntry>;
  /** When the first page came. */
  startedAt: number | undefined;
  /** Until then only locks of a former host are granted. */
  closedUntil: number;
}

export const newLocks = (): Locks => ({
  table: createLockTable(),
  startedAt: undefined,
  closedUntil: Number.NEGATIVE_INFINITY,
});

/** A tab asks for a lock. Asked again under the same id, it hears how that one stands. */
export function lockServer(c: Coordinator, tab: Tab, port: PortKey, call: CallKey, lock: KnownLock): void {
  const { table } = c.locks;
  const say = (state: LockState["state"], serverIds: readonly string[] = []): void =>
    answer(c, call, { ok: { lockId: lock.lockId, state, serverIds } satisfies LockState });
  if (c.mode === "solo") {
    const message = "Without a SharedWorker there are no locks between tabs: each has sockets of its own.";
    answer(c, call, { error: wireError("unsupported-environment", message, { missing: "SharedWorker" }) });
    return;
  }
  const known = table.find(tab.tabId, lock.lockId);
  if (known) {
    // Its page may have another port by now, and be taken for gone on the one that asked first.
    known.entry.port = port;
    say(known.isHeld ? "granted" : "waiting", known.entry.serverIds);
    return;
  }
  const entry = entryFor(c, tab, port, lock);
  if (!entry) {
    const message = "This session has no such server.";
    answer(c, call, { error: wireError("not-found", message, { what: lock.servers?.join(", ") ?? "" }) });
    return;
  }
  if (lock.steal) {
    for (const lost of table.steal(entry)) tell(c, lost, "lost");
    breakCycles(c);
    changed(c, entry.servers);
    say("granted", entry.serverIds);
    // What was in the way of others of this tab's is gone.
    grant(c);
    return;
  }
  const isOpen = c.moment.now >= c.locks.closedUntil;
  if (lock.ifAvailable && !(isOpen && table.isFree(entry))) {
    say("unavailable");
    return;
  }
  if (table.wouldDeadlock(entry)) {
    const message = "A tab that has this lock waits for one of yours: release that first.";
    answer(c, call, { error: wireError("would-deadlock", message, { serverIds: entry.serverIds }) });
    return;
  }
  table.enqueue(entry);
  grant(c, entry);
  say(table.held.includes(entry) ? "granted" : "waiting", entry.serverIds);
}

/** Frees a lock of the tab's, or ends its wait for it. */
export function unlockServer(c: Coordinator, tab: Tab, lockId: string): void {
  const known = c.locks.table.find(tab.tabId, lockId);
  if (known) free(c, known.entry);
}

/** Where the tab has another account now, what it held as the former one keeps nobody away any more. */
export function forsake(c: Coordinator, tab: Tab, server: ServerKey): void {
  for (const { key } of tab.servers.values()) if (key === server) return;
  for (const entry of [...c.locks.table.held])
    if (entry.tabId === tab.tabId && entry.servers.includes(server)) {
      tell(c, entry, "lost");
      free(c, entry);
    }
}

/** A page that had another host brings what it held there, and what it waited for. */
export function reclaimLocks(c: Coordinator, tab: Tab, port: PortKey, locks: readonly KnownLock[]): void {
  const { table } = c.locks;
  // Later only a page that was away comes back, and nobody has to wait for it.
  const isYoung = c.moment.now - (c.locks.startedAt ?? 0) < graceMs;
  if (isYoung && c.locks.closedUntil === Number.NEGATIVE_INFINITY)
    c.locks.closedUntil = c.moment.now + reclaimMs;
  const isInTime = c.moment.now < c.locks.closedUntil;
  for (const lock of locks) {
    const known = table.find(tab.tabId, lock.lockId);
    if (known) {
      known.entry.port = port;
      continue;
    }
    const entry = entryFor(c, tab, port, lock);
    if (!entry) continue;
    if (!lock.held) table.enqueue(entry);
    // A tab that is new may have been faster than those that were there before the host.
    else if (table.heldAgainst(entry).every(({ isFirm }) => isInTime && !isFirm))
      for (const lost of table.steal(entry)) tell(c, lost, "lost");
    changed(c, entry.servers);
  }
  breakCycles(c);
  grant(c);
  arm(c);
}

/** Tells who would wait for ever. */
function breakCycles(c: Coordinator): void {
  for (const entry of c.locks.table.breakCycles()) tell(c, entry, "deadlock");
}

/** What a page holds or waits for: what is missing it has lost. */
export const locksOf = (c: Coordinator, port: PortKey): LockState[] => {
  const { held, waiting } = c.locks.table;
  const own = (entries: readonly ServerLockEntry[], state: LockState["state"]): LockState[] =>
    entries
      .filter((entry) => entry.port === port)
      .map(({ lockId, serverIds }) => ({ lockId, serverIds, state }));
  return [...own(held, "granted"), ...own(waiting, "waiting")];
};

/** Its page is gone: what it waited for is over, and what it held is kept for a moment. */
export function pageLeft(c: Coordinator, port: PortKey): void {
  const { table } = c.locks;
  for (const entry of table.waiting) if (entry.port === port) table.remove(entry);
  for (const entry of table.held) {
    if (entry.port !== port) continue;
    entry.port = undefined;
    entry.freeAt = c.moment.now + graceMs;
  }
  arm(c);
  grant(c);
}

/** Time is up for what nobody came back for, or for those that waited until former locks were claimed. */
export function locksDue(c: Coordinator): void {
  for (const entry of c.locks.table.held)
    if (entry.port === undefined && entry.freeAt <= c.moment.now) free(c, entry);
  arm(c);
  grant(c);
}

/** For whatever is due next. */
function arm(c: Coordinator): void {
  const { table, closedUntil } = c.locks;
  const due = table.held.flatMap(({ port, freeAt }) => (port === undefined ? [freeAt] : []));
  if (closedUntil > c.moment.now) due.push(closedUntil);
  if (due.length > 0) setTimer(c, { at: Math.min(...due), timer: "locks" });
}

/** Whether another tab keeps this one's new tasks off the server. */
export const isLockedFor = (c: Coordinator, tabId: string, server: ServerKey): boolean =>
  c.locks.table.held.some(
    (entry) => entry.mode === "exclusive" && entry.tabId !== tabId && entry.servers.includes(server),
  );

/** The servers that the tab has locked: its tasks go there. */
export const lockedBy = (c: Coordinator, tabId: string): ReadonlySet<ServerKey> =>
  new Set(c.locks.table.held.filter((entry) => entry.tabId === tabId).flatMap(({ servers }) => servers));

/** What a tab may know of it: that it is locked, and whether by itself. */
export function lockOf(c: Coordinator, tabId: string, server: ServerKey): ServerSnapshot["lock"] {
  const entries = c.locks.table.held.filter(({ servers }) => servers.includes(server));
  const entry = entries.find((one) => one.tabId === tabId) ?? entries[0];
  return entry && { mode: entry.mode, by: entry.tabId === tabId ? "this-tab" : "another-tab" };
}

function entryFor(
  c: Coordinator,
  tab: Tab,
  port: PortKey,
  { lockId, mode, servers, held = false, steal = false }: KnownLock,
): ServerLockEntry | undefined {
  // Of a server that only its tab's former page has named the next host would not know.
  const named = [...tab.servers.values()].filter(({ id }) => c.ports.get(port)?.named.has(id));
  const wanted = servers
    ? servers.map((serverId) => named.find(({ id }) => id === serverId))
    : [leastBusy(c, tab, named, mode)];
  const found = wanted.filter((one) => one !== undefined);
  if (found.length === 0 || found.length < wanted.length) return undefined;
  return {
    tabId: tab.tabId,
    lockId,
    mode,
    servers: [...new Set(found.map(({ key }) => key))],
    serverIds: found.map(({ id }) => id),
    port,
    freeAt: Number.POSITIVE_INFINITY,
    isFirm: held || steal,
  };
}

/** Where none is named: of those that are free to lock, else of all. */
function leastBusy(
  c: Coordinator,
  tab: Tab,
  all: readonly DeclaredServer[],
  mode: LockEntry["mode"],
): DeclaredServer | undefined {
  const free = all.filter(({ key }) =>
    c.locks.table.isFree({ tabId: tab.tabId, lockId: "", mode, servers: [key] }),
  );
  const candidates = free.length > 0 ? free : all;
  return choose(c, { tab, candidates, ignoresDepth: true })?.server ?? candidates[0];
}

function free(c: Coordinator, entry: ServerLockEntry): void {
  c.locks.table.remove(entry);
  breakCycles(c);
  changed(c, entry.servers);
  grant(c);
}

/** @param quiet hears of it by the answer to its call */
function grant(c: Coordinator, quiet?: ServerLockEntry): void {
  if (c.moment.now < c.locks.closedUntil) return;
  for (const entry of c.locks.table.grant()) {
    if (entry !== quiet) tell(c, entry, "granted");
    changed(c, entry.servers);
  }
}

function tell(c: Coordinator, { port, lockId, serverIds }: ServerLockEntry, state: LockState["state"]): void {
  const to = port === undefined ? undefined : c.ports.get(port);
  if (to) deliver(c, to, { kind: "lock", lockId, state, serverIds });
}

function changed(c: Coordinator, servers: readonly ServerKey[]): void {
  c.sendWaiting = true;
  arm(c);
  for (const key of servers) {
    const server = c.servers.get(key);
    if (server) announceServer(c, server);
  }
}
