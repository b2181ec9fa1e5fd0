import { nanoid } from "nanoid";
import { accountNamed } from "../protocol/accounts.ts";
import type { Auth, HostEvent, ServerDeclaration, ServerSnapshot } from "../protocol/session-api.ts";
import type { Diagnostics, Logger, SessionEvents } from "./api.ts";
import type { Generation } from "./generation.ts";
import { approachHost } from "./host/approach.ts";
import type { Greeting } from "./host-life.ts";
import { createIdentity, type Identity } from "./identity.ts";
import { createJournalLoss } from "./journal-loss.ts";
import { type Link, openLink } from "./link.ts";
import { createListeners, tell } from "./listeners.ts";
import { createLogger } from "./logger.ts";
import { type CheckedOptions, invalidOption, plainAuth } from "./options.ts";
import type { Platform } from "./platform.ts";
import { createServerLocks, type ServerLocks } from "./server-locks.ts";
import { createTaskBook, type TaskBook } from "./task-book.ts";

/** What all sessions of one name in one page share: the link to the host, the tasks, the servers. */
export interface Page {
  readonly identity: Identity;
  readonly windowId: string;
  readonly logger: Logger;
  readonly call: Link["call"];
  readonly book: TaskBook;
  readonly locks: ServerLocks;
  readonly servers: ReadonlyMap<string, ServerSnapshot>;
  /** Who wants to hear how a transfer gets on, by its id. */
  readonly transfers: Map<string, (progress: { loaded: number; total: number }) => void>;
  /** Which servers hold a file that was uploaded in this page, by what an input calls it. */
  readonly uploads: Map<string, Set<string>>;
  /** What the host in force is like. */
  kind(): Pick<Diagnostics, "reason" | "locks">;
  on<K extends keyof SessionEvents>(type: K, listener: (event: SessionEvents[K]) => void): () => void;
  /** @throws {@link ComfyTabsError} `invalid-option` where one has the id of another */
  addServers(servers: readonly ServerDeclaration[]): Promise<void>;
  /** This tab's own. */
  authOf(serverId: string): Auth | undefined;
  setAuth(serverId: string, auth: Auth): Promise<void>;
  close(): void;
}

export async function openPage(
  platform: Platform,
  options: CheckedOptions,
  generations: Generation,
): Promise<Page> {
  if (platform.whenShown) await platform.whenShown;
  // Before all else: a new tab waits for nothing as long as for this.
  const approach = approachHost(platform, options, options.mode, generations);
  const windowId = `window_${Date.now()}_${nanoid(6)}`;
  const logger = createLogger(options.logger, windowId);
  const access = platform.askForAccess(options.servers);
  const identity = createIdentity(platform, options.name);
  if (!identity.isNew) {
    void approach.portLock.hold();
    await identity.keep();
  }
  await access;
  const call: Link["call"] = (method, args, more) => link.call(method, args, more);
  const loss = createJournalLoss(platform, options.name);
  const book = createTaskBook(identity, logger, call, loss, () => emit("tasks", book.list()));
  const serverLocks = createServerLocks(call);
  const servers = new Map<string, ServerSnapshot>();
  const transfers: Page["transfers"] = new Map();
  const listeners = createListeners(logger);
  /** Servers that want other credentials, as their listeners have been told. */
  const locked = new Set<string>();
  /** Of servers whose credentials are not the declared ones any more: the accounts that were named first and last. */
  const renewed = new Map<string, readonly [first: string | undefined, last: string | undefined]>();
  let adding: Promise<unknown> = Promise.resolve();
  let mode: SessionEvents["mode"] | undefined;
  let kind: Pick<Diagnostics, "reason" | "locks"> = { locks: false };

  function emit<K extends keyof SessionEvents>(type: K, event: SessionEvents[K]): void {
    listeners.tell(type, event);
  }

  function takeServer(server: ServerSnapshot): void {
    const before = servers.get(server.id);
    servers.set(server.id, server);
    const { connection, version, error, queueRemaining, id, lock } = server;
    if (before?.connection !== connection || before.version !== version || before.error?.code !== error?.code)
      emit("connection", server);
    if (error?.code !== "unauthorized") locked.delete(id);
    else if (!locked.has(id)) {
      locked.add(id);
      emit("auth-required", { serverId: id });
    }
    if (queueRemaining !== undefined && before?.queueRemaining !== queueRemaining)
      emit("queue", { serverId: id, queueRemaining });
    if (before?.lock?.by !== lock?.by || before?.lock?.mode !== lock?.mode)
      emit("lock", { serverId: id, lock });
  }

  function takeWelcome(welcome: Greeting, reason: string | undefined, locks: boolean): void {
    for (const server of welcome.servers) takeServer(server);
    book.hostForgets(welcome.journal === "memory");
    book.takeAll(welcome.tasks);
    serverLocks.takeWelcome(welcome.locks ?? []);
    const why = reason === undefined ? {} : { reason };
    kind = { locks, ...why };
    mode = { mode: welcome.mode, epoch: welcome.epoch, ...why };
    emit("mode", mode);
  }

  function takeEvent(event: HostEvent): void {
    switch (event.kind) {
      case "task":
        book.takeEvent(event.event);
        return;
      case "server":
        takeServer(event.server);
        return;
      case "transfer": {
        const { transferId, loaded, total } = event;
        const listener = transfers.get(transferId);
        if (listener) tell(logger, "progress", listener, { loaded, total });
        return;
      }
      case "lock":
        serverLocks.takeEvent(event);
        return;
      case "journal":
        book.hostForgets(true);
        return;
      case "message": {
        const { serverId, type, data } = event;
        emit("message", { serverId, type, data });
      }
    }
  }

  const linking = openLink(platform, options, identity, windowId, logger, generations, loss, approach, {
    onWelcome: takeWelcome,
    onEvent: takeEvent,
    onRenewed: book.forgetAll,
    onNews: book.learn,
    knownTasks: book.known,
    knownLocks: serverLocks.known,
    waits: () => book.known().some(({ settled }) => !settled) || serverLocks.waits(),
  });
  // Nobody else can have it: that comes after the hello.
  if (identity.isNew) void identity.keep();
  const link = await linking.catch((error: unknown) => {
    identity.release(); // whoever tries again is still this tab
    throw error;
  });

  async function addServers(named: readonly ServerDeclaration[]): Promise<void> {
    const more = named.filter((server) => {
      const known = link.servers.get(server.id);
      // A component that is mounted again brings the token that it was given, which may be any of the account's.
      const isRenewed = known && renewed.get(server.id)?.includes(accountNamed(server.auth));
      const declared = isRenewed ? { ...server, auth: known.auth } : server;
      if (known && JSON.stringify(known) !== JSON.stringify(declared))
        throw invalidOption(
          "servers",
          `This page knows another server, or other options, as "${server.id}".`,
        );
      return !known;
    });
    if (more.length === 0) return;
    await platform.askForAccess(more);
    await link.call("addServers", [JSON.stringify(more)]);
    // Not before: a server that the host refuses would spoil every later hello.
    for (const server of more) link.servers.set(server.id, server);
  }

  return {
    identity,
    windowId,
    logger,
    call,
    book,
    locks: serverLocks,
    servers,
    transfers,
    uploads: new Map(),
    kind: () => kind,
    // The page has its host before anybody can listen: what came with it would never be heard.
    on: (type, listener) =>
      listeners.add(type, listener, () =>
        type === "mode"
          ? [mode]
          : type === "auth-required"
            ? [...locked].map((serverId) => ({ serverId }))
            : [],
      ),
    addServers(named) {
      // In turn: what two calls name at once may be one server, or two by one id.
      const added = adding.then(() => addServers(named));
      adding = added.catch(() => {});
      return added;
    },
    authOf: (serverId) => link.servers.get(serverId)?.auth,
    async setAuth(serverId, auth) {
      const given = plainAuth(auth);
      const account = await link.call<string>("setAuth", [serverId, JSON.stringify(given)]);
      const known = link.servers.get(serverId);
      if (known) {
        const [first] = renewed.get(serverId) ?? [accountNamed(known.auth)];
        renewed.set(serverId, [first, accountNamed(given) ?? first]);
        // The next host is told whose token it is: it has never seen the first one.
        link.servers.set(serverId, { ...known, auth: { ...given, account } });
      }
      locked.delete(serverId);
    },
    close() {
      link.close();
      book.close();
    },
  };
}
