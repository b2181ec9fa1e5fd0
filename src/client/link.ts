import { build } from "../protocol/build.ts";
import { ComfyTabsError, codeOf } from "../protocol/errors.ts";
import type { Epoch } from "../protocol/ids.ts";
import { hostLock } from "../protocol/names.ts";
import type {
  HostEvent,
  HostMode,
  KnownLock,
  KnownTask,
  ServerDeclaration,
} from "../protocol/session-api.ts";
import { protocolVersion } from "../protocol/version.ts";
import type { Logger } from "./api.ts";
import { type Calls, closedError, createCalls, type Request } from "./calls.ts";
import type { Generation } from "./generation.ts";
import { type Approach, approachHost } from "./host/approach.ts";
import type { Chosen } from "./host/choose.ts";
import { type Greeting, type HostLife, meetHost } from "./host-life.ts";
import type { Identity } from "./identity.ts";
import type { JournalLoss } from "./journal-loss.ts";
import { createPortLock, type PortLock, stealLock } from "./locks.ts";
import type { CheckedOptions } from "./options.ts";
import type { Platform } from "./platform.ts";

/** The next host is looked for at once, but less and less often while hosts fail or die young. */
const retryMs = { first: 500, longest: 8_000, reset: 5_000 } as const;

/**
 * How long a host may be silent at a hello, 15 s in all: starting a worker waits for the page that starts it. A shared one
 * may die with a port in its hands, and nobody tells: its name is called once more, on a second port.
 */
const patience = {
  first: { suspicionMs: 2_500, halfMs: 1_250 },
  again: { suspicionMs: 5_000, halfMs: 2_500 },
  solo: { suspicionMs: 5_000, halfMs: 5_000 },
} as const;
/** How long `connect` waits for a host that says that it is there. */
const handshakeMs = { first: 15_000, again: 11_000 } as const;

/** What the rest of the page hears from its host, and tells a new one. */
export interface LinkEvents {
  /** @param reason why this is not the kind of host that was hoped for */
  onWelcome(welcome: Greeting, reason: string | undefined, locks: boolean): void;
  onEvent(event: HostEvent): void;
  /** This page is a new tab from now on: its tasks are another page's. */
  onRenewed(): void;
  /** Another page of this tab was there meanwhile, with tasks of its own. */
  onNews(tasks: readonly KnownTask[]): void;
  knownTasks(): Request<KnownTask>[];
  knownLocks(): Request<KnownLock>[];
  /** Whether there is news that only the host can tell. */
  waits(): boolean;
}

/**
 * The page's way to its host, across hosts: when one dies, the next is greeted with what the page knows,
 * and calls under way are repeated there, which they bear, for all of them are idempotent.
 */
export interface Link {
  /** @throws {@link ComfyTabsError} what the host answers, or `timeout`, `host-lost`, `aborted`, `closed` */
  readonly call: Calls["call"];
  /** Servers that every hello names from now on. */
  readonly servers: Map<string, ServerDeclaration>;
  close(): void;
}

/** @param first to the first host: it has begun before there was anything to say */
export async function openLink(
  platform: Platform,
  options: CheckedOptions,
  identity: Identity,
  windowId: string,
  logger: Logger,
  generations: Generation,
  loss: JournalLoss,
  first: Approach,
  hear: LinkEvents,
): Promise<Link> {
  const { locks } = platform;
  const servers = new Map(options.servers.map((server) => [server.id, server]));
  const calls = createCalls();
  const closing = new AbortController();
  let chosenMode: HostMode | undefined;
  let reason: string | undefined;
  let host: HostLife | undefined;
  let metAt = 0;
  let waitMs = 0;
  let begun: Approach | undefined = first;

  const renew = async (): Promise<void> => {
    await identity.renew();
    hear.onRenewed();
  };

  async function establish(): Promise<void> {
    if (!(await reach())) await reach("again");
  }

  /** @returns false: none has answered, which it may do on another port */
  async function reach(again?: "again"): Promise<boolean> {
    // Only before the first handshake is the mode open: afterwards tasks live in this kind of host.
    const mode = chosenMode ?? options.mode;
    const { generation, hosts, portLock } = begun ?? approachHost(platform, options, mode, generations);
    begun = undefined;
    let nextLock: PortLock | undefined = portLock;
    let why = "";
    for (const choose of hosts) {
      try {
        const chosen = choose();
        const lock = nextLock ?? createPortLock(locks);
        nextLock = undefined;
        return await greet(chosen, generation, lock, again);
      } catch (error) {
        if (codeOf(error)) throw error;
        why = error instanceof Error ? error.message : String(error);
        if (!chosenMode) reason = why;
        logger.warn(`no host of this kind: ${why}`);
      }
    }
    void nextLock?.release();
    throw new ComfyTabsError("unsupported-environment", `No host can be had: ${why}.`, {
      missing: mode === "shared" ? "SharedWorker" : "Worker",
    });
  }

  async function greet(
    { mode, host: port }: Chosen,
    generation: number,
    portLock: PortLock,
    again?: "again",
  ): Promise<boolean> {
    let [refusals, isSilent, saidAs] = [0, false, ""];
    // A new tab has nothing yet that its end would have to end: it does not wait.
    const isEarly = !!locks && mode === "shared" && identity.isNew;
    const meeting = meetHost(port, {
      locks,
      portLock,
      patience: patience[mode === "solo" ? mode : (again ?? "first")],
      deadlineMs: chosenMode ? undefined : handshakeMs[again ?? "first"],
      isEarly,
      hello: (portId, hasLock) => {
        saidAs = identity.tabId;
        return {
          protocol: protocolVersion,
          build,
          portId,
          tabId: saidAs,
          tabSecret: identity.secret,
          isNew: identity.isNew,
          hasAsked: !locks && platform.openChannel !== undefined,
          windowId,
          servers: [...servers.values()],
          tasks: hear.knownTasks(),
          locks: chosenMode && hear.knownLocks(),
          previews: options.previews,
          hasLock,
          hasLockSoon: isEarly,
          losses: loss.tell(),
        };
      },
      onSilent: () => {
        isSilent = true;
      },
      onRefused: async () => {
        refusals += 1;
        // Without locks our own former port may count as another page until its goodbye is read.
        if ((chosenMode || again) && refusals <= 3)
          await new Promise((resolve) => setTimeout(resolve, retryMs.first));
        else await renew();
      },
      onEvent: (event) => {
        hear.onEvent(event);
        if (event.kind === "journal") noteLoss();
      },
      onGone: (why) => {
        logger.debug("the host is gone:", why);
        if (Date.now() - metAt > retryMs.reset) waitMs = 0;
        replaceHost();
      },
      onHung: (epoch) => {
        logger.warn("the host hangs");
        if (mode === "shared") generations.leave(generation);
        // Granted to all who wait for it, it tells the other tabs at once.
        if (locks) stealLock(locks, hostLock(epoch as Epoch));
        replaceHost();
      },
      waits: hear.waits,
      closing: closing.signal,
    });
    const lock = portLock.hold();
    let life: HostLife;
    try {
      life = await meeting;
    } catch (error) {
      if (mode === "solo" || !isSilent) throw error;
      if (!again) return false;
      // It may hang: whoever tries again shall not wait for it again.
      generations.leave(generation);
      throw error;
    }
    if (saidAs !== identity.tabId) {
      // It has come out of the back/forward cache meanwhile, and found that the tab's next page has its name.
      life.end();
      if (!again) return false;
      throw new ComfyTabsError("host-lost", "This page has become another tab meanwhile.", {});
    }
    host = life;
    identity.introduced();
    metAt = Date.now();
    chosenMode = mode;
    hear.onWelcome(life.greeting, reason, life.locks);
    if (life.greeting.journal) noteLoss();
    if (isEarly) void lock.then((hasLock) => follow(life, hasLock));
    else calls.host(life.carry);
    return true;
  }

  /** Before it is noted where every page finds it, the host sends nothing more. */
  function noteLoss(): void {
    if (!host) return;
    loss.note(host.greeting.epoch);
    host.post({ comfyTabs: "noted" });
  }

  /** Not before it has its lock does a new tab ask its host for anything, which would outlive a crash. */
  function follow(life: HostLife, hasLock: boolean): void {
    if (host !== life) return;
    // Locks are refused, or it is an older host, which does not know the word: another port, as any later one.
    if (!hasLock || life.greeting.protocol.minor === 0) replaceHost();
    else {
      life.post({ comfyTabs: "locked" });
      calls.host(life.carry);
    }
  }

  /** It may take some tries: nothing but `close` makes a page give up on its tasks. */
  async function reestablish(): Promise<void> {
    for (;;) {
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (closing.signal.aborted) return;
      waitMs = Math.min(Math.max(retryMs.first, 2 * waitMs), retryMs.longest);
      try {
        await establish();
        return;
      } catch (error) {
        if (closing.signal.aborted) return;
        logger.warn("no host yet:", error);
        // Waiting does not help those who ask now; a later build may.
        if (codeOf(error) === "version-mismatch") calls.failAll(error as ComfyTabsError);
      }
    }
  }

  function replaceHost(): void {
    host?.end();
    host = undefined;
    calls.hostGone();
    void reestablish();
  }

  /** The port was closed on the way into the back/forward cache. */
  let isCut = false;
  let visits = 0;
  const ends = [
    platform.onPageEvent("pagehide", (persisted) => {
      visits += 1;
      identity.save(hear.knownTasks());
      isCut = persisted && host?.suspend() === true;
      if (!persisted) host?.post({ comfyTabs: "goodbye" });
      identity.release();
    }),
    platform.onPageEvent("pageshow", (persisted) => {
      if (persisted) void comeBack();
    }),
  ];

  /** Out of the back/forward cache: still ourselves, unless the tab's next page has our name by now. */
  async function comeBack(): Promise<void> {
    const visit = visits;
    const ours = await identity.claim();
    // It has left again: the next time it comes back, it asks anew.
    if (visit !== visits) return;
    if (!ours) await renew();
    if (closing.signal.aborted) {
      identity.release();
      return;
    }
    const news = ours ? identity.news() : [];
    if (!news && !isCut) {
      host?.post({ comfyTabs: "resume" });
      return;
    }
    // As another tab, or as one that has more tasks than we know of: only a welcome tells them.
    if (news) hear.onNews(news);
    if (host) {
      waitMs = 0;
      replaceHost();
    }
  }

  try {
    await establish();
  } catch (error) {
    for (const end of ends) end();
    throw error;
  }

  return {
    servers,
    call: (method, args, callOptions) =>
      closing.signal.aborted ? Promise.reject(closedError()) : calls.call(method, args, callOptions),
    close() {
      if (closing.signal.aborted) return;
      closing.abort();
      for (const end of ends) end();
      calls.failAll(closedError());
      host?.end();
      identity.save(hear.knownTasks());
      identity.release();
    },
  };
}
