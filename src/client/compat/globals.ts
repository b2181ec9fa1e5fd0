import type { ServerSnapshot } from "../../protocol/session-api.ts";
import { enableDebug, testMultiWindow, type WindowReport } from "../debug/index.ts";
import type { OldWindow } from "./old-window.ts";
import type { WindowTask } from "./tasks.ts";

export interface WindowInfo {
  windowId: string;
  clientId: string;
  tabId: string | undefined;
  lockedServer: string | null;
  lockTimestamp: number | null;
  taskCount: number;
  tasks: WindowTask[];
}

/** What the old code leaves on `window` for a console. */
export interface CompatGlobals {
  getWindowInfo(): WindowInfo;
  /** Prints this window's tasks, and returns them. */
  debugTaskStatus(): WindowTask[];
  /** Prints which server this window uses and how its connection is, and returns it. */
  debugWebSocketLock(): {
    lockedServer: string | null;
    currentWebSocketServer: string | null;
    servers: readonly ServerSnapshot[];
  };
  /** By prompt id; those that have ended are not in it. */
  readonly pendingTasks: Map<string, WindowTask>;
  /** Lets this window take part in checks of several windows. */
  enableDebug(): Promise<() => void>;
  /** Takes part, and runs the check in all windows that do; prints and returns one report a window. */
  testMultiWindow(): Promise<WindowReport[]>;
}

export function createGlobals(old: OldWindow): CompatGlobals {
  const { open, state, tasks, logger } = old;
  const list = (): WindowTask[] => [...tasks.windowTasks.values()];
  let disable: (() => void) | undefined;

  const globals: CompatGlobals = {
    getWindowInfo: () => ({
      windowId: state.windowId,
      clientId: state.clientId,
      tabId: old.session?.tabId,
      lockedServer: state.lockedServer,
      lockTimestamp: state.lockedAt,
      taskCount: tasks.windowTasks.size,
      tasks: list(),
    }),
    debugTaskStatus() {
      for (const { promptId, status, server } of list()) logger.debug("🔍", promptId, status, server);
      logger.debug("🔍", tasks.windowTasks.size, "tasks,", tasks.pendingTasks.size, "open");
      return list();
    },
    debugWebSocketLock() {
      const servers = old.session?.servers() ?? [];
      const { lockedServer, socketServer: currentWebSocketServer } = state;
      logger.debug("🔒", lockedServer ?? "no server locked", servers);
      return { lockedServer, currentWebSocketServer, servers };
    },
    pendingTasks: tasks.pendingTasks,
    async enableDebug() {
      const opened = await open();
      disable ??= enableDebug(opened);
      return () => {
        disable?.();
        disable = undefined;
      };
    },
    async testMultiWindow() {
      await globals.enableDebug();
      const reports = await testMultiWindow();
      for (const { windowId, pass, problems } of reports)
        if (pass) logger.debug("📡", windowId, "pass");
        else logger.warn("📡", windowId, "FAIL", problems);
      return reports;
    },
  };
  return globals;
}
