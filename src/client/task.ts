import { ComfyTabsError } from "../protocol/errors.ts";
import type { TaskResult } from "../protocol/tasks.ts";
import type { Task, TaskEvent } from "./api.ts";
import { aborted, closedError, type Link } from "./link.ts";
import type { TaskLog } from "./task-log.ts";

/** Calls that wait for the server: the host answers `cancel` after 30 s at the latest. */
const cancelMs = 60_000;

export interface TaskMeans {
  readonly id: string;
  readonly label: string | undefined;
  readonly createdAt: number;
  readonly log: TaskLog;
  readonly link: Pick<Link, "call">;
  /** Why nothing more will come without an ending. */
  readonly over: () => "dismissed" | "closed" | undefined;
  readonly forget: () => void;
}

export function createTask({ id, label, createdAt, log, link, over, forget }: TaskMeans): Task {
  const ended = (): Promise<void> => new Promise((resolve) => log.whenOver(resolve));

  return {
    id,
    label,
    createdAt,
    get promptId() {
      return log.promptId;
    },
    get serverId() {
      return log.serverId;
    },
    get status() {
      return log.status;
    },
    get progress() {
      return log.progress;
    },
    [Symbol.asyncIterator]: () => log.iterate(),
    on: (type, listener) => log.on(type, listener),
    async result({ signal } = {}) {
      await Promise.race([ended(), ...(signal ? [aborted(signal)] : [])]);
      if (over() === "dismissed")
        throw new ComfyTabsError("not-found", "The task was dismissed.", { what: id });
      return resultOf(log.ending);
    },
    cancel: () => link.call<boolean>("cancel", [id], { deadlineMs: cancelMs }),
    async dismiss() {
      await link.call("dismiss", [id]);
      forget();
    },
  };
}

function resultOf(ending: TaskEvent | undefined): TaskResult {
  switch (ending?.type) {
    case "succeeded":
      return ending.result;
    case "failed":
      throw ending.error;
    case "cancelled":
      throw new ComfyTabsError(
        "cancelled",
        ending.by === "owner" ? "The task was cancelled." : "The task was interrupted by somebody else.",
        { by: ending.by },
      );
    case "lost":
      throw new ComfyTabsError("lost", `The server does not know the task any more: ${ending.reason}.`, {
        reason: ending.reason,
      });
    default:
      throw closedError();
  }
}
