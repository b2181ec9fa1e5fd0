import { isSettled, type TaskResult } from "../../protocol/tasks.ts";
import type { Logger, Session, Task } from "../api.ts";
import { announce, isAnnounced, type TaskAnnouncement } from "./announce.ts";

export interface WindowTaskCallbacks {
  /** In ComfyUI's words; `overall` is the whole run's share, 0 to 1, where it is known. */
  onProgress?(progress: {
    prompt_id: string;
    node: string;
    value: number;
    max: number;
    overall?: number;
  }): void;
  /** With each node's outputs as the server gave them, and the files with their addresses. */
  onComplete?(result: TaskResult): void;
  /** Also where the task was cancelled or lost: `error.code` says it. */
  onError?(error: Error): void;
}

export type WindowTaskStatus = "registered" | "running" | "completed" | "failed";

/** What the app registered, whatever it holds, and what is known of the task. */
export interface WindowTask extends WindowTaskCallbacks {
  promptId: string;
  windowId: string;
  clientId: string;
  /** Address of the server that has it. */
  server: string;
  status: WindowTaskStatus;
  /** Epoch milliseconds of the last change. */
  timestamp: number;
}

/** One call that has registered a task: who registers the same prompt again follows it alone. */
export interface Registration {
  readonly promptId: string;
  readonly entry: WindowTask;
  task?: Task;
}

export interface WindowTasksMeans {
  readonly logger: Logger;
  readonly storage: () => Storage;
  readonly now: () => number;
  readonly clientId: () => string;
}

/** This window's tasks by prompt id, under the names of the old code. */
export function createWindowTasks({ logger, storage, now, clientId }: WindowTasksMeans) {
  const windowTasks = new Map<string, WindowTask>();
  /** Those of them that have not ended. */
  const pendingTasks = new Map<string, WindowTask>();
  const registrations = new Map<string, Registration>();

  function tell(type: TaskAnnouncement["type"], task: WindowTask): void {
    const { windowId, promptId, status, timestamp } = task;
    const isLast = !pendingTasks.has(promptId);
    announce(
      storage,
      logger,
      { type, windowId, clientId: task.clientId, promptId, status, timestamp },
      isLast,
    );
  }

  function change(task: WindowTask, status: WindowTaskStatus): void {
    Object.assign(task, { status, timestamp: now() });
    if (status === "completed" || status === "failed") pendingTasks.delete(task.promptId);
    logger.debug("📝", task.promptId, status);
    tell(`task_${status}`, task);
  }

  /** An app's callback that fails is the app's own affair. */
  function callBack(call: () => void): void {
    try {
      call();
    } catch (error) {
      logger.warn("📝 a callback failed:", error);
    }
  }

  const isInForce = (registration: Registration): boolean =>
    registrations.get(registration.promptId) === registration &&
    windowTasks.get(registration.promptId) === registration.entry;

  function fail(registration: Registration, error: unknown): void {
    if (!isInForce(registration)) return;
    const { entry } = registration;
    change(entry, "failed");
    callBack(() => entry.onError?.(error instanceof Error ? error : new Error(String(error))));
  }

  /** The server may still run it: it is forgotten when it has ended, unless it was registered again. */
  function forgetWhenOver({ promptId, task }: Registration): void {
    const dismiss = (): void => {
      if (registrations.has(promptId)) return;
      task?.dismiss().catch((error) => logger.warn("📝", promptId, "stays known:", error));
    };
    void task?.result().then(dismiss, dismiss);
  }

  function follow(registration: Registration, task: Task): void {
    const { promptId, entry } = registration;
    const isOurs = (): boolean => isInForce(registration);
    registration.task = task;
    if (!registrations.has(promptId)) forgetWhenOver(registration);
    if (!isOurs()) return;
    task.on("started", () => {
      if (isOurs() && entry.status === "registered") change(entry, "running");
    });
    task.on("progress", ({ nodeId, value, max, overall }) => {
      if (!isOurs()) return;
      if (entry.status === "registered") change(entry, "running");
      const share = overall === undefined ? {} : { overall };
      callBack(() => entry.onProgress?.({ prompt_id: promptId, node: nodeId, value, max, ...share }));
    });
    task.result().then(
      (result) => {
        if (!isOurs()) return;
        change(entry, "completed");
        callBack(() => entry.onComplete?.(result));
      },
      (error) => fail(registration, error),
    );
  }

  function enter(entry: WindowTask): Registration {
    const { promptId } = entry;
    const registration: Registration = { promptId, entry };
    windowTasks.set(promptId, entry);
    pendingTasks.set(promptId, entry);
    registrations.set(promptId, registration);
    return registration;
  }

  function add(entry: WindowTask): Registration {
    const registration = enter(entry);
    change(entry, "registered");
    return registration;
  }

  return {
    windowTasks,
    pendingTasks,
    fail,
    add,
    follow,
    /** What the tab had before its reload. */
    restore(session: Session): void {
      const urls = new Map(session.servers().map(({ id, url }) => [id, url]));
      for (const task of session.tasks()) {
        const { promptId, serverId = "", createdAt } = task;
        if (promptId === undefined || windowTasks.has(promptId)) continue;
        const entry: WindowTask = {
          promptId,
          windowId: session.windowId,
          clientId: clientId(),
          server: urls.get(serverId) ?? serverId,
          status: "registered",
          timestamp: createdAt,
        };
        const registration = enter(entry);
        if (!isSettled(task.status) || isAnnounced(storage, promptId)) follow(registration, task);
        else {
          entry.status = task.status === "succeeded" ? "completed" : "failed";
          pendingTasks.delete(promptId);
          registration.task = task;
        }
      }
    },
    remove(promptId: string): boolean {
      const entry = windowTasks.get(promptId);
      if (!entry) return false;
      windowTasks.delete(promptId);
      pendingTasks.delete(promptId);
      tell("task_removed", entry);
      const registration = registrations.get(promptId);
      registrations.delete(promptId);
      if (registration) forgetWhenOver(registration);
      return true;
    },
  };
}
