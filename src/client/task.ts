import { ComfyTabsError, codeOf } from "../protocol/errors.ts";
import type { TaskResult } from "../protocol/tasks.ts";
import type { Task, TaskEvent } from "./api.ts";
import { type Calls, checkSignal, closedError, within } from "./calls.ts";
import type { TaskLog } from "./task-log.ts";

/** The host answers `cancel` after 30 s at the latest. */
const cancelMs = 60_000;

export interface TaskMeans {
  readonly id: string;
  readonly label: string | undefined;
  readonly createdAt: number;
  readonly log: TaskLog;
  readonly call: Calls["call"];
  readonly forget: () => void;
}

export function createTask({ id, label, createdAt, log, call, forget }: TaskMeans): Task {
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
      checkSignal(signal);
      let stop = (): void => {};
      const over = new Promise<void>((resolve) => {
        stop = log.whenOver(resolve);
      });
      await within(over, { signal }).finally(stop);
      if (log.over === "dismissed")
        throw new ComfyTabsError("not-found", "The task was dismissed.", { what: id });
      return resultOf(log.ending);
    },
    async cancel() {
      return log.ending ? false : call<boolean>("cancel", [id], { deadlineMs: cancelMs });
    },
    async dismiss() {
      try {
        await call("dismiss", [id]);
      } catch (error) {
        // A host that never knew the task, or has dismissed it for a page that died over the answer.
        if (codeOf(error) !== "not-found") throw error;
      }
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
