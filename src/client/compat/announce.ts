import type { Logger } from "../api.ts";

/** What the old code tells the other windows of a task, under `comfyui_task_<prompt id>`. */
export interface TaskAnnouncement {
  readonly type: "task_registered" | "task_running" | "task_completed" | "task_failed" | "task_removed";
  readonly windowId: string;
  readonly clientId: string;
  readonly promptId: string;
  readonly status: string;
  /** Epoch milliseconds. */
  readonly timestamp: number;
}

export const taskKey = (promptId: string): string => `comfyui_task_${promptId}`;

/** Other windows hear both: the last state, and that the key is gone, which would stay for ever otherwise. */
export function announce(
  storage: () => Storage,
  logger: Logger,
  announcement: TaskAnnouncement,
  isLast: boolean,
): void {
  const key = taskKey(announcement.promptId);
  try {
    storage().setItem(key, JSON.stringify(announcement));
    if (isLast) storage().removeItem(key);
  } catch (error) {
    logger.warn("📡 the other windows were not told of", announcement.promptId, error);
  }
}

/** Whether other windows know of a task that has not ended: its end takes the key away. */
export function isAnnounced(storage: () => Storage, promptId: string): boolean {
  try {
    return storage().getItem(taskKey(promptId)) !== null;
  } catch {
    return false; // nor can they be told
  }
}
