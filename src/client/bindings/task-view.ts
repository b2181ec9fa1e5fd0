import type { AnyComfyTabsError } from "../../protocol/errors.ts";
import type { Progress, TaskResult, TaskStatus } from "../../protocol/tasks.ts";
import type { Task, TaskEvent } from "../api.ts";
import { createStore, type Store } from "./store.ts";

/** What `useTask` gives: the task at this moment. */
export interface TaskView {
  readonly status: TaskStatus;
  readonly progress: Progress | undefined;
  /** The newest, until the task has ended. */
  readonly preview: Blob | undefined;
  /** The newest warning, e.g. what an open task waits for. */
  readonly warning: Extract<TaskEvent, { type: "warning" }> | undefined;
  /** Where the task has succeeded. */
  readonly result: TaskResult | undefined;
  /** Where it has failed. */
  readonly error: AnyComfyTabsError | undefined;
}

/** Follows the task while somebody subscribes. */
export function taskStore(task: Task | undefined): Store<TaskView | undefined> {
  const last: { [type: string]: TaskEvent } = {};
  const newest = <K extends TaskEvent["type"]>(type: K) =>
    last[type] as Extract<TaskEvent, { type: K }> | undefined;
  const read = (): TaskView | undefined =>
    task && {
      status: task.status,
      progress: task.progress,
      preview: newest("preview")?.image,
      warning: newest("warning"),
      result: newest("succeeded")?.result,
      error: newest("failed")?.error,
    };

  return createStore(read, (changed) => {
    const events = task?.[Symbol.asyncIterator]();
    const follow = ({ done, value }: IteratorResult<TaskEvent>): void => {
      if (done) {
        changed();
        return;
      }
      last[value.type] = value;
      if (["succeeded", "failed", "cancelled", "lost"].includes(value.type)) delete last.preview;
      changed();
      void events?.next().then(follow);
    };
    void events?.next().then(follow);
    return () => void events?.return?.();
  });
}
