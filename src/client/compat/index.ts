import type { ConnectOptions, Logger, Task } from "../api.ts";
import { connect } from "../index.ts";
import { type CompatGlobals, createGlobals } from "./globals.ts";
import { generateUniqueClientId, generateWindowId } from "./ids.ts";
import { createOldWindow, type OldWindow, type WindowState } from "./old-window.ts";
import type { WindowTask } from "./tasks.ts";

export type { WindowReport } from "../debug/index.ts";
export type { TaskAnnouncement } from "./announce.ts";
export type { CompatGlobals, WindowInfo } from "./globals.ts";
export type { WindowTask, WindowTaskCallbacks, WindowTaskStatus } from "./tasks.ts";
export { generateUniqueClientId, generateWindowId };

const state: WindowState = {
  windowId: generateWindowId(),
  clientId: generateUniqueClientId(),
  lockedServer: null,
  lockedAt: null,
  socketServer: null,
  socketAt: null,
};

/** `window_<ms>_<random>`, anew with every load of the page. */
export let WINDOW_ID = state.windowId;
/**
 * The `client_id` for prompts that the app POSTs itself. A live binding: it is the host's id at the server that was
 * locked or configured, and may change with the connection. Read it when you POST; keep no copy.
 */
export let WINDOW_CLIENT_ID = state.clientId;
/** Address of the server that this window has locked, and since when in epoch milliseconds. */
export let windowLockedServer = state.lockedServer;
export let windowLockTimestamp = state.lockedAt;
/** Address of the server that `WINDOW_CLIENT_ID` belongs to, and since when in epoch milliseconds. */
export let currentWebSocketServer = state.socketServer;
export let serverLockTimestamp = state.socketAt;

function show(now: Readonly<WindowState>): void {
  WINDOW_ID = now.windowId;
  WINDOW_CLIENT_ID = now.clientId;
  windowLockedServer = now.lockedServer;
  windowLockTimestamp = now.lockedAt;
  currentWebSocketServer = now.socketServer;
  serverLockTimestamp = now.socketAt;
}

// With the marks of the old code, which are looked for among all other lines.
const marked: Logger = {
  debug: (...said) => console.log(...said),
  warn: (...said) => console.warn(...said),
};

const here: OldWindow = createOldWindow(state, {
  connect,
  console: marked,
  storage: () => localStorage,
  now: Date.now,
  changed: show,
});

/** This window's tasks by prompt id: also those of before a reload, whose callbacks come with their registration. */
export const windowTasks: Map<string, WindowTask> = here.tasks.windowTasks;

/**
 * Follows a prompt that the app has POSTed with `WINDOW_CLIENT_ID`. Its server is `task.server`, else the locked one,
 * else the first that was configured. The object is kept, and gets the state of the task.
 *
 * @returns the task of the main API; undefined where it cannot be followed, which `onError` was told
 */
export const registerWindowTask = (
  promptId: string,
  task: Partial<WindowTask> = {},
): Promise<Task | undefined> => here.register(promptId, task);

export const getWindowTask = (promptId: string): WindowTask | undefined => windowTasks.get(promptId);

/** Its callbacks are called no more. The server goes on with it. @returns whether it was there */
export const removeWindowTask = (promptId: string): boolean => here.tasks.remove(promptId);

/**
 * Chooses this window's server: `WINDOW_CLIENT_ID` is its id when this resolves. Other windows may choose it, too.
 *
 * @returns whether it was chosen: false where another window has locked it for itself by the main API
 * @throws {@link ComfyTabsError} `invalid-option` for what is no address, and what `connect` throws
 */
export const lockServerForWindow = (url: string): Promise<boolean> => here.lockServer(url);

/** @returns whether one was locked */
export const unlockServerForWindow = (): boolean => here.unlockServer();

/** Names servers, as to `connect`: before the first lock, prompts go to the first of them. */
export const configureServers = (servers: ConnectOptions["servers"]): Promise<void> =>
  here.configureServers(servers);

declare global {
  interface Window extends CompatGlobals {}
}

/** On a server there is no window: everything that needs one is refused there when it is called. */
if (typeof window !== "undefined") {
  Object.assign(window, createGlobals(here));
  try {
    await here.open();
  } catch (error) {
    // The app is not to fail for it: each call tries again.
    here.logger.warn("🪟", "no connection yet:", error);
  }
}
