import { nanoid } from "nanoid";
import { isEnding } from "../protocol/mailbox.ts";
import type { HostEvent, ServerDeclaration, ServerSnapshot, Welcome } from "../protocol/session-api.ts";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import type { Logger, SessionEvents, Task } from "./api.ts";
import { claimIdentity, type Identity } from "./identity.ts";
import { type Link, openLink } from "./link.ts";
import { createLogger } from "./logger.ts";
import type { CheckedOptions } from "./options.ts";
import type { Platform } from "./platform.ts";
import { createTask } from "./task.ts";
import { createTaskLog, type TaskLog } from "./task-log.ts";

type Listener = (event: never) => void;

/** What all sessions of one name in one page share: the link to the host, the tasks, the servers. */
export interface Page {
  readonly options: CheckedOptions;
  readonly identity: Identity;
  readonly windowId: string;
  readonly logger: Logger;
  readonly link: Link;
  readonly tasks: Map<string, Task>;
  readonly servers: Map<string, ServerSnapshot>;
  /** Who wants to hear how a transfer gets on, by its id. */
  readonly transfers: Map<string, (progress: { loaded: number; total: number }) => void>;
  /** Which servers hold a file that was uploaded in this page, by what an input calls it. */
  readonly uploads: Map<string, Set<string>>;
  readonly listeners: Map<keyof SessionEvents, Set<Listener>>;
  /** Makes, or brings up to date, the task that the host tells of. */
  takeTask(snapshot: TaskSnapshot): Task;
  /** Notes a task that the host is about to be told of, so that a reload in between does not forget it. */
  expectTask(task: { taskId: string; promptId: string; serverId?: string; label?: string }): void;
  addServers(servers: readonly ServerDeclaration[]): Promise<void>;
  close(): void;
}

export async function openPage(platform: Platform, options: CheckedOptions): Promise<Page> {
  const windowId = `window_${Date.now()}_${nanoid(6)}`;
  const logger = createLogger(options.logger, windowId);
  const identity = await claimIdentity(platform, options.name);
  const tasks = new Map<string, Task>();
  const logs = new Map<string, TaskLog>();
  const dismissed = new Set<string>();
  const servers = new Map<string, ServerSnapshot>();
  const transfers: Page["transfers"] = new Map();
  const listeners: Page["listeners"] = new Map();
  let closed = false;

  function emit<K extends keyof SessionEvents>(type: K, event: SessionEvents[K]): void {
    for (const listener of listeners.get(type) ?? []) {
      try {
        (listener as (event: SessionEvents[K]) => void)(event);
      } catch (error) {
        logger.warn("a listener of", type, "failed:", error);
      }
    }
  }

  function takeServer(server: ServerSnapshot): void {
    const before = servers.get(server.id);
    servers.set(server.id, server);
    const { connection, version, error, queueRemaining, id } = server;
    if (before?.connection !== connection || before.version !== version || before.error?.code !== error?.code)
      emit("connection", server);
    if (queueRemaining !== undefined && before?.queueRemaining !== queueRemaining)
      emit("queue", { serverId: id, queueRemaining });
  }

  function takeWelcome(welcome: Exclude<Welcome, { refused: string }>, reason: string | undefined): void {
    for (const server of welcome.servers) takeServer(server);
    for (const snapshot of welcome.tasks) page.takeTask(snapshot);
    const { mode, epoch } = welcome;
    emit("mode", { mode, epoch, ...(reason === undefined ? {} : { reason }) });
  }

  function takeEvent(event: HostEvent): void {
    switch (event.kind) {
      case "task": {
        const log = logs.get(event.event.taskId);
        if (!log?.take(event.event)) return;
        if (event.event.type === "accepted" || isEnding(event.event)) remember(event.event.taskId, log);
        return;
      }
      case "server":
        takeServer(event.server);
        return;
      case "transfer":
        transfers.get(event.transferId)?.({ loaded: event.loaded, total: event.total });
        return;
      case "message": {
        const { serverId, type, data } = event;
        emit("message", { serverId, type, data });
      }
    }
  }

  function remember(taskId: string, { promptId, serverId, lastSeq, ending }: TaskLog): void {
    identity.tasks.set(taskId, {
      ...identity.tasks.get(taskId),
      taskId,
      lastSeq,
      settled: ending !== undefined,
      ...(promptId === undefined ? {} : { promptId }),
      ...(serverId === undefined ? {} : { serverId }),
    });
    identity.save();
  }

  function forget(taskId: string): void {
    dismissed.add(taskId);
    logs.get(taskId)?.end();
    logs.delete(taskId);
    tasks.delete(taskId);
    identity.tasks.delete(taskId);
    identity.save();
  }

  const page: Omit<Page, "link"> & { link?: Link } = {
    options,
    identity,
    windowId,
    logger,
    tasks,
    servers,
    transfers,
    uploads: new Map(),
    listeners,
    takeTask(snapshot) {
      const { taskId: id, label, createdAt } = snapshot;
      let log = logs.get(id);
      if (!log) {
        log = createTaskLog(logger);
        logs.set(id, log);
      }
      let task = tasks.get(id);
      if (!task) {
        const over = () =>
          dismissed.has(id) ? ("dismissed" as const) : closed ? ("closed" as const) : undefined;
        const call: Link["call"] = (method, args, more) => link.call(method, args, more);
        task = createTask({ id, label, createdAt, log, link: { call }, over, forget: () => forget(id) });
        tasks.set(id, task);
      }
      log.takeSnapshot(snapshot);
      remember(id, log);
      return task;
    },
    expectTask({ taskId, ...known }) {
      identity.tasks.set(taskId, { taskId, ...known, lastSeq: 0, settled: false });
      identity.save();
      // Its events may come before the answer that makes it a task.
      if (!logs.has(taskId)) logs.set(taskId, createTaskLog(logger));
    },
    async addServers(more) {
      const fresh = more.filter(({ id }) => !link.servers.has(id));
      if (fresh.length === 0) return;
      for (const server of fresh) link.servers.set(server.id, server);
      await link.call("addServers", [JSON.stringify(fresh)]);
    },
    close() {
      closed = true;
      link.close();
      for (const log of logs.values()) log.end();
    },
  };
  const hear = { onWelcome: takeWelcome, onEvent: takeEvent };
  const link = await openLink(platform, options, identity, windowId, logger, hear);
  return Object.assign(page, { link });
}
