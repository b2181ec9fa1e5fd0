import type { TaskResult } from "../../protocol/tasks.ts";
import type { Logger, Session, Task } from "../api.ts";
import { announce, type TaskAnnouncement } from "./announce.ts";

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
  const followed = new Map<string, Task>();

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

  function fail(task: WindowTask, error: unknown): void {
    if (windowTasks.get(task.promptId) !== task) return;
    change(task, "failed");
    callBack(() => task.onError?.(error instanceof Error ? error : new Error(String(error))));
  }

  function follow(entry: WindowTask, task: Task): void {
    const { promptId } = entry;
    const isOurs = (): boolean => windowTasks.get(promptId) === entry;
    followed.set(promptId, task);
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
      (error) => fail(entry, error),
    );
  }

  function add(entry: WindowTask): void {
    windowTasks.set(entry.promptId, entry);
    pendingTasks.set(entry.promptId, entry);
    change(entry, "registered");
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
        windowTasks.set(promptId, entry);
        pendingTasks.set(promptId, entry);
        follow(entry, task);
      }
    },
    remove(promptId: string): boolean {
      const entry = windowTasks.get(promptId);
      if (!entry) return false;
      windowTasks.delete(promptId);
      pendingTasks.delete(promptId);
      tell("task_removed", entry);
      const task = followed.get(promptId);
      followed.delete(promptId);
      // The server may still run it: it is forgotten when it has ended.
      const dismiss = (): void =>
        void task?.dismiss().catch((error) => logger.warn("📝", promptId, "stays known:", error));
      void task?.result().then(dismiss, dismiss);
      return true;
    },
  };
}
