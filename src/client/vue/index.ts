import { type MaybeRefOrGetter, onMounted, type ShallowRef, shallowRef, toValue, watch } from "vue";
import type { ServerSnapshot } from "../../protocol/session-api.ts";
import type { ConnectOptions, Session, Task } from "../api.ts";
import { type Comfy, comfyStore, writtenOut } from "../bindings/comfy.ts";
import { serversStore } from "../bindings/servers.ts";
import type { Store } from "../bindings/store.ts";
import { type TaskView, taskStore } from "../bindings/task-view.ts";
import { connect } from "../index.ts";

export type { Comfy, TaskView };

/** Subscribes while the component is mounted, so that nothing happens while rendering on a server. */
function useStore<K, T>(keyOf: () => K, storeOf: (key: K) => Store<T>): Readonly<ShallowRef<T>> {
  const shown = shallowRef(storeOf(keyOf()).get()) as ShallowRef<T>;
  onMounted(() =>
    watch(
      keyOf,
      (key, _, onCleanup) => {
        const store = storeOf(key);
        const show = (): void => {
          shown.value = store.get();
        };
        onCleanup(store.subscribe(show));
        show();
      },
      { immediate: true },
    ),
  );
  return shown;
}

/**
 * Connects while the component is mounted; all components share the page's one link. Servers may be added
 * later; for what else may change see `connect`.
 */
export function useComfy(options: MaybeRefOrGetter<ConnectOptions>): Readonly<ShallowRef<Comfy>> {
  return useStore(
    () => writtenOut(toValue(options)),
    () => comfyStore(connect, toValue(options)),
  );
}

/** The task as it is now. */
export function useTask(task: MaybeRefOrGetter<Task>): Readonly<ShallowRef<TaskView>>;
export function useTask(task: MaybeRefOrGetter<Task | undefined>): Readonly<ShallowRef<TaskView | undefined>>;
export function useTask(
  task: MaybeRefOrGetter<Task | undefined>,
): Readonly<ShallowRef<TaskView | undefined>> {
  return useStore(() => toValue(task), taskStore);
}

/** The session's servers as they are now: connection, queue, version. */
export function useServers(
  session: MaybeRefOrGetter<Session | undefined>,
): Readonly<ShallowRef<readonly ServerSnapshot[]>> {
  return useStore(() => toValue(session), serversStore);
}
