import type { DeclaredServer } from "./facts.ts";
import { isLockedFor, lockedBy } from "./locks.ts";
import { isHearsay, openTasksAt } from "./servers.ts";
import type { Coordinator, Server, Tab, Task } from "./state.ts";
import { emit, isOnItsWay, warn } from "./task-lifecycle.ts";
import { setTimer } from "./timers.ts";

/** Positions in the backlog are told so often. */
const positionsEveryMs = 1_000;
/** A server whose look-ups fail is put aside for so long, longer each time. */
const asideMs = { first: 1_000, longest: 30_000, after: 2 } as const;

export interface Choice {
  readonly server: DeclaredServer;
  /** For people who ask why. */
  readonly why: string;
}

/** What is chosen for: a task of a tab, or a file that it uploads. */
export interface Wish {
  readonly tab: Tab | undefined;
  readonly candidates: readonly DeclaredServer[];
  readonly filesAt?: readonly string[] | undefined;
  readonly affinity?: "tab" | "none" | undefined;
  /** Places that are taken do not matter: it only passes through. */
  readonly ignoresDepth?: boolean;
}

/**
 * Where something goes: to the one place it may go, else where its files are, else where the tab has a lock,
 * else where the tab's last task went if it wants that, else to the least busy for its weight. Undefined while
 * no such server can be reached or has a place free.
 */
export function choose(c: Coordinator, wish: Wish): Choice | undefined {
  const { tab, candidates, filesAt = [], affinity, ignoresDepth } = wish;
  const tabId = tab?.tabId ?? "";
  const [eligible, why] = narrowed(c, tab, candidates, filesAt, affinity);
  let best: DeclaredServer | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const declared of eligible) {
    const server = c.servers.get(declared.key);
    if (
      !server ||
      !isUsable(c, server) ||
      isLockedFor(c, tabId, declared.key) ||
      (!ignoresDepth && isFull(c, server, declared.depth))
    )
      continue;
    const load = (busyness(c, server) + 1) / declared.weight;
    if (load < least) [best, least] = [declared, load];
  }
  return (
    best && { server: best, why: why ?? `least busy of ${eligible.length}, with a load of ${round(least)}` }
  );
}

function narrowed(
  c: Coordinator,
  tab: Tab | undefined,
  candidates: readonly DeclaredServer[],
  filesAt: readonly string[],
  affinity: Wish["affinity"],
): [readonly DeclaredServer[], string?] {
  const holders = holdersOf(candidates, filesAt);
  if (candidates.length === 1) return [holders, "the only one that it may use"];
  const locked = lockedBy(c, tab?.tabId ?? "");
  const own = holders.filter(({ key }) => locked.has(key));
  if (own.length > 0) return [own, "the tab has locked it"];
  if (filesAt.length > 0) return [holders, "it has the uploaded files"];
  const last = affinity === "tab" && candidates.filter(({ key }) => key === tab?.lastServer);
  if (last && last.length > 0) return [last, "affinity: the tab's last task went there"];
  return [candidates];
}

/** Nothing brings a file to another server. Its tab may name that later. */
const holdersOf = (candidates: readonly DeclaredServer[], filesAt: readonly string[] = []) =>
  candidates.filter(({ id }) => filesAt.length === 0 || filesAt.includes(id));

const round = (load: number): number => Math.round(100 * load) / 100;

const isUsable = (c: Coordinator, { connection, barred, aside }: Server): boolean =>
  connection.at === "open" && !barred && aside.until <= c.moment.now;

const isFull = (c: Coordinator, server: Server, depth: number): boolean =>
  server.open.size >= depth &&
  openTasksAt(c, server).filter((task) => task.misses < 2 || !(task.adrift || isHearsay(task))).length >=
    depth;

/** The server's own count, and what we have sent that it cannot have counted yet. */
function busyness(c: Coordinator, server: Server): number {
  const sent = openTasksAt(c, server);
  const uncounted = sent.filter(isOnItsWay).length;
  return Math.max(server.queueRemaining ?? 0, sent.length - uncounted) + uncounted;
}

/**
 * The backlog, tab by tab: whoever had a turn longest ago comes first; within a tab what goes to the front,
 * then the oldest.
 */
function queuesInTurn(c: Coordinator): Task[][] {
  const byTab = new Map<string, Task[]>();
  for (const task of c.tasks.values())
    if (task.stage.at === "waiting") {
      const own = byTab.get(task.tabId) ?? [];
      byTab.set(task.tabId, own);
      own.push(task);
    }
  const turnOf = (tabId: string): number => c.tabs.get(tabId)?.lastTurn ?? 0;
  return [...byTab]
    .sort(([one], [other]) => turnOf(one) - turnOf(other))
    .map(([, tasks]) => [...tasks.filter(isUrgent), ...tasks.filter((task) => !isUrgent(task))]);
}

/** As it would go out if every task could go anywhere: the tabs take turns. */
function inTurn(c: Coordinator): Task[] {
  const queues = queuesInTurn(c);
  const order: Task[] = [];
  for (let round = 0; queues.some(({ length }) => length > round); round += 1)
    order.push(...queues.flatMap((queue) => queue.slice(round, round + 1)));
  return order;
}

const isUrgent = ({ submission }: Task): boolean => submission?.front === true;

/** Whether somebody waits who would be passed over. */
export const hasBacklog = (c: Coordinator): boolean => {
  for (const { stage } of c.tasks.values()) if (stage.at === "waiting") return true;
  return false;
};

export const wishOf = (c: Coordinator, { tabId, candidates, submission }: Task): Wish => ({
  tab: c.tabs.get(tabId),
  candidates,
  filesAt: submission?.filesAt,
  affinity: submission?.affinity,
});

/** Notes the choice: the tab has had its turn. */
export function take(c: Coordinator, task: Task, { server, why }: Choice): DeclaredServer {
  task.chosen = why;
  const tab = c.tabs.get(task.tabId);
  if (tab) {
    c.lastKey += 1;
    tab.lastTurn = c.lastKey;
    tab.lastServer = server.key;
  }
  return server;
}

/** For a long backlog it is worth knowing beforehand that nothing of it can go out. */
function hasPlace(c: Coordinator): boolean {
  for (const server of c.servers.values())
    if (isUsable(c, server) && !isFull(c, server, server.depth)) return true;
  return false;
}

/**
 * Hands out the places that are free. A task that has to wait for its own server holds up no other, and costs
 * its tab no turn. None is asked twice: places only become fewer here.
 */
export function handOut(c: Coordinator, send: (task: Task, server: DeclaredServer) => void): void {
  const left: Task[] = [];
  let queues = queuesInTurn(c);
  while (queues.length > 0) {
    if (!hasPlace(c)) left.push(...queues.splice(0).flat());
    for (const queue of queues)
      for (let next = queue.shift(); next; next = queue.shift()) {
        const choice = choose(c, wishOf(c, next));
        if (choice) {
          send(next, take(c, next, choice));
          break;
        }
        left.push(next);
      }
    queues = queues.filter(({ length }) => length > 0);
  }
  keepWaiting(c, left);
}

/** They are told why, and where they stand: of many less often, for each is told by itself. */
export function keepWaiting(c: Coordinator, tasks: readonly Task[]): void {
  const isNews = c.locks.table.held.length > 0 || [...c.servers.values()].some(({ error }) => error);
  for (const task of tasks) if (isNews || task.submission?.filesAt) sayWhyItWaits(c, task);
  if (tasks.length > 0 && !c.timers.has("backlog "))
    setTimer(c, {
      at: Math.max(c.moment.now, c.positionsAt + Math.max(positionsEveryMs, tasks.length)),
      timer: "backlog",
    });
}

/**
 * A connection on its way is no news, and a place that is taken shows as a position; a server that fails is news,
 * and so is one that another tab has locked, where there is no other.
 */
function sayWhyItWaits(c: Coordinator, task: Task): void {
  const { tabId, submission } = task;
  const candidates = holdersOf(task.candidates, submission?.filesAt);
  const isUnnamed = candidates.length === 0 && task.candidates.length > 0;
  const isLocked = candidates.length > 0 && candidates.every(({ key }) => isLockedFor(c, tabId, key));
  const why =
    candidates.map(({ key }) => c.servers.get(key)?.error?.message).find(Boolean) ??
    (isLocked
      ? "another tab has locked it."
      : isUnnamed
        ? "its page does not name the server that has its files."
        : undefined);
  if (why === undefined || why === task.waitsFor) return;
  task.waitsFor = why;
  const servers = candidates.map(({ id }) => id).join(", ");
  warn(c, task, "waiting", `Not sent yet: ${why}`, { details: { servers } });
}

/**
 * Tells each waiting task how many prompts are to run before it: at the least busy server that it may use, and
 * here. Whose servers are all locked by others, or away, is not before anybody.
 */
export function tellPositions(c: Coordinator): void {
  c.positionsAt = c.moment.now;
  let ahead = 0;
  for (const task of inTurn(c)) {
    let queue = Number.POSITIVE_INFINITY;
    for (const { key } of holdersOf(task.candidates, task.submission?.filesAt)) {
      const server = c.servers.get(key);
      if (server && isUsable(c, server) && !isLockedFor(c, task.tabId, key))
        queue = Math.min(queue, busyness(c, server));
    }
    if (queue === Number.POSITIVE_INFINITY) continue;
    const position = ahead + queue;
    ahead += 1;
    if (position === task.position) continue;
    task.position = position;
    emit(c, task, { type: "queued", position });
  }
}

/** One failed look-up happens; a server that goes on failing gets nothing new for a while, and comes back by itself. */
export function lookUpFailed(c: Coordinator, { aside, key }: Server): void {
  aside.failures += 1;
  aside.since = Math.min(aside.since, c.moment.now);
  const excess = aside.failures - asideMs.after;
  if (excess < 0) return;
  const ms = Math.min(asideMs.longest, asideMs.first * 2 ** excess) * (0.5 + c.moment.random / 2);
  aside.until = c.moment.now + ms;
  setTimer(c, { at: aside.until, timer: "aside", server: key });
}

export function lookUpSucceeded(c: Coordinator, server: Server): void {
  const wasAside = server.aside.until > c.moment.now;
  server.aside = { failures: 0, since: Number.POSITIVE_INFINITY, until: Number.NEGATIVE_INFINITY };
  if (wasAside) c.sendWaiting = true;
}
