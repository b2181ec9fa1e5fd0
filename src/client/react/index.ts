import { useMemo, useState, useSyncExternalStore } from "react";
import type { ServerSnapshot } from "../../protocol/session-api.ts";
import type { ConnectOptions, Session, Task } from "../api.ts";
import { type Comfy, comfyStore, writtenOut } from "../bindings/comfy.ts";
import { serversStore } from "../bindings/servers.ts";
import type { Store } from "../bindings/store.ts";
import { type TaskView, taskStore } from "../bindings/task-view.ts";
import { connect } from "../index.ts";

export type { Comfy, TaskView };

const useStore = <T>({ subscribe, get }: Store<T>): T => useSyncExternalStore(subscribe, get, get);

/**
 * Connects while the component is mounted; all components share the page's one link. The options may be
 * written inline. Servers may be added later; for what else may change see `connect`.
 */
export function useComfy(options: ConnectOptions): Comfy {
  const written = writtenOut(options);
  const make = () => ({ written, store: comfyStore(connect, options) });
  const [made, replace] = useState(make);
  if (made.written !== written) replace(make());
  return useStore(made.store);
}

/** The task as it is now: the component renders again whenever it changes. */
export function useTask(task: Task): TaskView;
export function useTask(task: Task | undefined): TaskView | undefined;
export function useTask(task: Task | undefined): TaskView | undefined {
  return useStore(useMemo(() => taskStore(task), [task]));
}

/** The session's servers as they are now: connection, queue, version. */
export function useServers(session: Session | undefined): readonly ServerSnapshot[] {
  return useStore(useMemo(() => serversStore(session), [session]));
}
