import { normaliseAddress } from "../../comfy/addresses.ts";
import type { ConnectOptions, Logger, ServerLock, ServerOptions, Session, Task } from "../api.ts";
import { ComfyTabsError } from "../index.ts";
import { serversLater } from "../servers-later.ts";
import { createWindowTasks, type WindowTask } from "./tasks.ts";

export interface OldWindowMeans {
  readonly connect: (options: ConnectOptions) => Promise<Session>;
  readonly console: Logger;
  readonly storage: () => Storage;
  readonly now: () => number;
  /** Something of the state has changed. */
  readonly changed: (state: Readonly<WindowState>) => void;
}

/** What the old code keeps in variables of a module. */
export interface WindowState {
  windowId: string;
  clientId: string;
  /** Address of the server that this window has chosen, and since when (epoch milliseconds). */
  lockedServer: string | null;
  lockedAt: number | null;
  /** Address of the server whose client id `clientId` is, and since when. */
  socketServer: string | null;
  socketAt: number | null;
}

export type OldWindow = ReturnType<typeof createOldWindow>;

/** One window of the old code, over a session. */
export function createOldWindow(state: WindowState, means: OldWindowMeans) {
  const { connect, console, storage, now, changed } = means;
  const mark = (): string => `[${state.windowId}]`;
  const logger: Logger = {
    debug: (sign, ...said) => console.debug(sign, mark(), ...said),
    warn: (sign, ...said) => console.warn(sign, mark(), ...said),
  };
  const tasks = createWindowTasks({ logger, storage, now, clientId: () => state.clientId });
  let opening: Promise<Session> | undefined;
  let opened: Session | undefined;
  let held: Promise<ServerLock | "alone" | null> | undefined;
  /** How many have been asked for. */
  let locks = 0;

  function set(more: Partial<WindowState>): void {
    Object.assign(state, more);
    changed(state);
  }

  /** The session; whoever asks after a failure tries again. */
  function open(): Promise<Session> {
    opening ??= start().catch((error) => {
      opening = undefined;
      throw error;
    });
    return opening;
  }

  async function start(): Promise<Session> {
    const options: ConnectOptions & { [serversLater]: true } = { servers: [], [serversLater]: true };
    const session = await connect(options);
    set({ windowId: session.windowId });
    logger.debug("🪟", "this window, as tab", session.tabId);
    await learnClientId(session);
    tasks.restore(session);
    const learn = (): void =>
      void learnClientId(session).catch((error) => logger.warn("🔑", "no client id:", error));
    // Another host, or a socket that had to be replaced, may have another id.
    session.on("mode", learn);
    session.on("connection", learn);
    opened = session;
    return session;
  }

  async function learnClientId(session: Session): Promise<void> {
    const { socketServer } = state;
    const clientId = await session.clientId(socketServer === null ? "" : idOf(session, socketServer));
    // Whoever has chosen another server meanwhile learns that one's.
    if (clientId === state.clientId || socketServer !== state.socketServer) return;
    set({ clientId });
    logger.debug("🔑", "client id", clientId);
  }

  /** @returns the session, and its id of the server */
  async function join(server: ServerOptions): Promise<{ session: Session; serverId: string }> {
    const session = await open();
    if (!session.servers().some(({ url }) => url === server.url)) {
      const handle = await connect({ servers: [server] });
      await handle.close();
    }
    return { session, serverId: idOf(session, server.url) };
  }

  /** @param isWanted still, when the host knows the server */
  async function listenTo(server: ServerOptions, isWanted: () => boolean): Promise<void> {
    const { session } = await join(server);
    if (isWanted() && state.socketServer !== server.url) set({ socketServer: server.url, socketAt: now() });
    await learnClientId(session);
  }

  /** Shared with other windows, as far as none has it for itself: then there is nothing. */
  async function lock(url: string): Promise<ServerLock | "alone" | null> {
    locks += 1;
    const ours = locks;
    await listenTo({ url }, () => ours === locks);
    const session = await open();
    const got = await session.lockServer(idOf(session, url), { ifAvailable: true }).catch((error) => {
      // Without a SharedWorker there are no locks across windows, and nobody to lock out.
      if (error instanceof ComfyTabsError && error.code === "unsupported-environment")
        return "alone" as const;
      throw error;
    });
    logger.debug("🔒", got ? "this window uses" : "another window has for itself", url);
    return got;
  }

  function lose(lock: typeof held): void {
    if (held === lock) set({ lockedServer: null, lockedAt: null });
  }

  async function release(): Promise<void> {
    const before = held;
    held = undefined;
    try {
      const got = await before;
      if (got && got !== "alone") await got.release();
    } catch (error) {
      logger.warn("🔒", "a lock could not be released:", error);
    }
  }

  return {
    open,
    /** Undefined until there is one. */
    get session() {
      return opened;
    },
    state,
    tasks,
    logger,

    async configureServers(servers: ConnectOptions["servers"]): Promise<void> {
      for (const server of servers) {
        const options = typeof server === "string" ? { url: server } : server;
        const url = addressOf(options?.url);
        const isFirst = (): boolean => state.socketServer === null;
        if (isFirst()) await listenTo({ ...options, url }, isFirst);
        else await join({ ...options, url });
      }
    },

    async lockServer(server: string): Promise<boolean> {
      const url = addressOf(server);
      // The old code knows it at once.
      set({ lockedServer: url, lockedAt: now() });
      const letGo = release();
      const locking = lock(url);
      held = locking;
      let got: Awaited<typeof locking> = null;
      try {
        [got] = await Promise.all([locking, letGo]);
      } finally {
        if (!got) lose(locking);
      }
      // Another window has stolen it.
      if (got && got !== "alone") void got.lost.then(() => lose(locking));
      return got !== null;
    },

    unlockServer(): boolean {
      if (state.lockedServer === null) return false;
      logger.debug("🔒", "this window is free of", state.lockedServer);
      set({ lockedServer: null, lockedAt: null });
      void release();
      return true;
    },

    async register(promptId: string, given: Partial<WindowTask>): Promise<Task | undefined> {
      const { windowId, clientId, lockedServer, socketServer } = state;
      const server = given.server ?? lockedServer ?? socketServer ?? "";
      const entry: WindowTask = Object.assign(given, {
        promptId,
        windowId,
        clientId,
        server,
        status: "registered" as const,
        timestamp: now(),
      });
      const registration = tasks.add(entry);
      try {
        const { session, serverId } = await join({ url: addressOf(server) });
        const task = await session.register({ serverId, promptId });
        tasks.follow(registration, task);
        return task;
      } catch (error) {
        logger.warn("📝", promptId, "cannot be followed:", error);
        tasks.fail(registration, error);
        return undefined;
      }
    },
  };
}

function addressOf(url: string): string {
  const address = typeof url === "string" ? normaliseAddress(url) : undefined;
  if (!address) {
    const message =
      "No server: lock one with lockServerForWindow(url), or name some with configureServers().";
    throw new ComfyTabsError("invalid-option", message, { option: "server" });
  }
  return address;
}

/** The address itself where the session does not know it yet. */
const idOf = (session: Session, url: string): string =>
  session.servers().find((server) => server.url === url)?.id ?? url;
