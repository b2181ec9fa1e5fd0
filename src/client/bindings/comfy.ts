import type { AnyComfyTabsError } from "../../protocol/errors.ts";
import type { ConnectOptions, Session, Task } from "../api.ts";
import type { Store } from "./store.ts";

/** What `useComfy` gives. */
export interface Comfy {
  /** Undefined until there is a host, and while rendering on a server. */
  readonly session: Session | undefined;
  /** `session.tasks()`, brought up to date whenever a task comes, ends or is dismissed. */
  readonly tasks: readonly Task[];
  /** Why there is no session. */
  readonly error: AnyComfyTabsError | undefined;
}

export const nothingYet: Comfy = { session: undefined, tasks: [], error: undefined };

/**
 * Options that are written the same are the same: a component makes new objects whenever it renders. A logger is an
 * object of the app's, which may hold anything.
 */
export function writtenOut(options: ConnectOptions): string {
  try {
    return JSON.stringify(options, (name, value) =>
      typeof value === "function" || (name === "logger" && typeof value === "object") ? "function" : value,
    );
  } catch {
    return ""; // `connect` says what is wrong
  }
}

/** Connects while somebody subscribes. */
export function comfyStore(
  connect: (options: ConnectOptions) => Promise<Session>,
  options: ConnectOptions,
): Store<Comfy> {
  let now = nothingYet;
  return {
    get: () => now,
    subscribe(changed) {
      let wanted = true;
      const show = (next: Partial<Comfy>): void => {
        if (!wanted) return;
        now = { ...nothingYet, ...next };
        changed();
      };
      const opening = connect(options);
      opening.then(
        (session) => {
          if (wanted) session.on("tasks", (tasks) => show({ session, tasks }));
          show({ session, tasks: session.tasks() });
        },
        (error) => show({ error }),
      );
      return () => {
        wanted = false;
        now = nothingYet;
        // Not at once: who mounts again now (StrictMode, hot reload) keeps the page's link.
        setTimeout(() => opening.then((session) => session.close()).catch(() => {})); // it was told above
      };
    },
  };
}
