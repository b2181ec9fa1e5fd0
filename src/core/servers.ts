import type { ServerSnapshot } from "../protocol/session-api.ts";
import { deliver } from "./delivery.ts";
import type { DeclaredServer } from "./facts.ts";
import { lockOf } from "./locks.ts";
import type { Coordinator, Server, Tab, Task } from "./state.ts";
import { isOnItsWay, isOver } from "./task-lifecycle.ts";

/**
 * Adds servers to what a tab may use, its waiting tasks among it. The same id again replaces its entry. A tab
 * without pages begins anew: what its next page does not name is not its server any more.
 */
export function declareServers(c: Coordinator, tab: Tab, declared: readonly DeclaredServer[]): Server[] {
  if (tab.ports.size === 0 && tab.claiming === 0) tab.servers.clear();
  const added = declared.filter(({ id }) => !tab.servers.has(id));
  if (added.length > 0)
    for (const task of c.tasks.values())
      if (!task.unmet && task.tabId === tab.tabId && (isYetToGo(task) || isSought(task)))
        task.candidates = [
          ...task.candidates,
          ...added.filter(
            ({ id, key }) =>
              (task.submission?.server ?? id) === id && task.candidates.every((one) => one.key !== key),
          ),
        ];
  return declared.map((one) => {
    tab.servers.set(one.id, one);
    return serverFor(c, one);
  });
}

/** What is on its way may come back unsent. */
const isYetToGo = (task: Task): boolean =>
  task.stage.at === "waiting" || task.stage.at === "unsure" || isOnItsWay(task);

/** It may be at any of its servers, or nowhere. */
export const isSought = ({ adopted, accepted, stage }: Task): boolean =>
  adopted && !accepted && stage.at === "queued";

/** Only its app says that there is such a prompt: nobody has seen it here. */
export const isHearsay = ({ registered, accepted }: Task): boolean => registered && !accepted;

/** Of another account's, too: it is the same prompt. */
export function ownerAt(c: Coordinator, url: string, promptId: string): string | undefined {
  for (const server of c.servers.values())
    if (server.url === url && server.routes.has(promptId)) return server.routes.get(promptId);
  return undefined;
}

export function serverFor(c: Coordinator, { key, url, depth }: DeclaredServer): Server {
  const known = c.servers.get(key);
  if (known) {
    known.depth = Math.max(known.depth, depth);
    return known;
  }
  const server: Server = {
    key,
    url,
    connection: { at: "idle" },
    clientId: c.nextClientId ?? mintClientId(c),
    inheriting: undefined,
    socketsOpened: 0,
    attempt: 0,
    queueRemaining: undefined,
    queueFellAt: c.moment.now,
    hearing: { lastAt: c.moment.now, probe: undefined, differsSince: undefined, rotations: 0 },
    version: undefined,
    abilities: undefined,
    error: undefined,
    barred: false,
    divided: false,
    depth,
    aside: { failures: 0, since: Number.POSITIVE_INFINITY, until: Number.NEGATIVE_INFINITY },
    routes: new Map(),
    open: new Set(),
    twinned: new Set(),
    running: undefined,
    unclaimed: new Map(),
    survey: {
      request: undefined,
      nextAt: Number.POSITIVE_INFINITY,
      lastAt: Number.NEGATIVE_INFINITY,
      owed: false,
      waiting: new Map(),
      active: 0,
    },
  };
  c.nextClientId = undefined;
  c.servers.set(key, server);
  return server;
}

/**
 * For pages that POST by themselves and have named no server yet: the id of the one that they will most likely name.
 * One of an account's own is for its pages alone.
 */
export function clientIdAhead(c: Coordinator): string {
  for (const { key, url, clientId } of c.servers.values()) if (key.trimEnd() === url) return clientId;
  c.nextClientId ??= mintClientId(c);
  return c.nextClientId;
}

/** The route exists before the prompt does: no frame can come too early for it. */
export function bindTo(c: Coordinator, task: Task, declared: DeclaredServer): void {
  task.serverKey = declared.key;
  task.serverId = declared.id;
  addRoute(serverFor(c, declared), task);
}

/** Nobody can guess it, for the epoch is random; nobody else has it, for one host has one epoch. */
export function mintClientId(c: Coordinator): string {
  c.lastKey += 1;
  return `${c.epoch}-${c.lastKey}`;
}

/** From now on this server's messages about the task's prompt are the task's. */
export function addRoute(server: Server, task: Task): void {
  server.routes.set(task.promptId, task.id);
  server.open.add(task.id);
}

export function serverOf(c: Coordinator, task: Task): Server | undefined {
  return task.serverKey === undefined ? undefined : c.servers.get(task.serverKey);
}

export function openTasksAt(c: Coordinator, server: Server): Task[] {
  const open: Task[] = [];
  for (const taskId of server.open) {
    const task = c.tasks.get(taskId);
    if (task) open.push(task);
  }
  return open;
}

/** A server is wanted while a live or arriving page names it, or a task there is open or may go there. */
export function isWanted(c: Coordinator, server: Server): boolean {
  for (const tab of c.tabs.values())
    if (tab.ports.size > 0 || tab.claiming > 0)
      for (const { key } of tab.servers.values()) if (key === server.key) return true;
  if (server.open.size > 0) return true;
  for (const task of c.tasks.values())
    if (
      task.serverKey === undefined &&
      !isOver(task) &&
      task.candidates.some(({ key }) => key === server.key)
    )
      return true;
  return false;
}

/** What a tab may know of a server, under the tab's own name for it. It names no task. */
export function serverSnapshot(c: Coordinator, tab: Tab, { id, url, key }: DeclaredServer): ServerSnapshot {
  const server = c.servers.get(key);
  const lock = lockOf(c, tab.tabId, key);
  return {
    id,
    url,
    connection: server?.connection.at ?? "idle",
    queueRemaining: server?.queueRemaining,
    version: server?.version,
    ...(lock ? { lock } : {}),
    ...(server?.error
      ? { error: { ...server.error, details: { ...server.error.details, serverId: id } } as never }
      : {}),
  };
}

/** Tells every tab that names this server how it stands. */
export function announceServer(c: Coordinator, server: Server): void {
  for (const tab of c.tabs.values())
    for (const declared of tab.servers.values())
      if (declared.key === server.key)
        for (const key of tab.ports) {
          const port = c.ports.get(key);
          if (port) deliver(c, port, { kind: "server", server: serverSnapshot(c, tab, declared) });
        }
}
