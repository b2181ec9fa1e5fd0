import { type Remote, wrap } from "comlink";
import { nanoid } from "nanoid";
import { build } from "../protocol/build.ts";
import { ComfyTabsError, errorFromWire } from "../protocol/errors.ts";
import type { Epoch, PortId } from "../protocol/ids.ts";
import { hostLock, tabLock, workerName } from "../protocol/names.ts";
import {
  type Answer,
  acknowledgeEvery,
  type EventEnvelope,
  type Hello,
  type HostEvent,
  type HostMode,
  type ServerDeclaration,
  type SessionApi,
  type SessionMethod,
  type TabEnvelope,
  type Welcome,
} from "../protocol/session-api.ts";
import { protocolVersion } from "../protocol/version.ts";
import type { Logger } from "./api.ts";
import { type Chosen, hostsToTry } from "./host/choose.ts";
import type { Identity } from "./identity.ts";
import { holdLock, onLockFree } from "./locks.ts";
import type { CheckedOptions } from "./options.ts";
import type { Platform } from "./platform.ts";

/** Starting a worker waits for the page that starts it: short deadlines would see deaths that are none. */
const handshakeMs = 15_000;
const callMs = 30_000;
const repeats = 2;
const retryMs = 1_000;

type Greeting = Exclude<Welcome, { refused: string }>;

/** What the rest of the page hears from its host. */
export interface LinkEvents {
  onWelcome(welcome: Greeting, reason: string | undefined): void;
  onEvent(event: HostEvent): void;
}

/**
 * The page's way to its host, across hosts: when one dies, the next is greeted with what the page knows,
 * and calls under way are repeated there, which they bear, for all of them are idempotent.
 */
export interface Link {
  /** @throws {@link ComfyTabsError} what the host answers, or `timeout`, `host-lost`, `aborted`, `closed` */
  call<T>(method: SessionMethod, args: readonly unknown[], options?: CallOptions): Promise<T>;
  /** Servers to name in every hello from now on. */
  readonly servers: Map<string, ServerDeclaration>;
  close(): void;
}

export interface CallOptions {
  /** Default 30 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** One life of one host, as this page sees it. */
interface HostLife {
  readonly remote: Remote<SessionApi<Blob>>;
  readonly port: MessagePort;
  /** Rejects when the host is gone. */
  readonly gone: Promise<never>;
  readonly end: (why: string) => void;
}

const gone = Symbol("gone");

export async function openLink(
  platform: Platform,
  options: CheckedOptions,
  identity: Identity,
  windowId: string,
  logger: Logger,
  hear: LinkEvents,
): Promise<Link> {
  const servers = new Map(options.servers.map((server) => [server.id, server]));
  let closed = false;
  let life: Promise<HostLife>;
  let chosenMode: HostMode | undefined;
  let close: (error: ComfyTabsError) => void = () => {};
  const closing = new Promise<never>((_, reject) => {
    close = reject;
  });
  closing.catch(() => {}); // told to the calls under way, if any

  async function establish(): Promise<HostLife> {
    let reason: string | undefined;
    for (const choose of hostsToTry(
      platform,
      chosenMode ?? options.mode,
      options.worker,
      workerName(options.name),
    )) {
      try {
        return await greet(choose(), reason);
      } catch (error) {
        if (error instanceof ComfyTabsError) throw error;
        // Only before the first handshake is the mode open: afterwards tasks live in this kind of host.
        reason = error instanceof Error ? error.message : String(error);
        logger.warn(`${reason}; trying what is left`);
      }
    }
    throw new ComfyTabsError("unsupported-environment", `No host can be had: ${reason}.`, {
      missing: "worker",
    });
  }

  async function greet({ mode, host }: Chosen, reason: string | undefined): Promise<HostLife> {
    const { locks } = platform;
    const { port } = host;
    const portId = nanoid();
    const unlock = locks && (await holdLock(locks, tabLock(portId as PortId)));
    let stopWatching = (): void => {};
    let end: HostLife["end"] = () => {};
    const isGone = new Promise<never>((_, reject) => {
      end = (why) => {
        stopWatching();
        reject(gone);
        logger.debug("the host is gone:", why);
        port.close();
        host.close();
        unlock?.();
      };
    });
    isGone.catch(() => {}); // told to the calls under way, if any

    let epoch: string | undefined;
    const early: EventEnvelope[] = [];
    const acknowledge = createAcknowledger((envelope) => port.postMessage(envelope));
    const hearEnvelope = (envelope: EventEnvelope): void => {
      // The same port with another epoch: the browser has restarted the worker behind our back.
      if (envelope.epoch !== epoch) {
        lost("another epoch");
        return;
      }
      for (const event of envelope.events) hear.onEvent(event);
      acknowledge(envelope);
    };
    port.addEventListener("message", ({ data }: MessageEvent<EventEnvelope>) => {
      if (data?.comfyTabs !== "events") return;
      if (epoch === undefined) early.push(data);
      else hearEnvelope(data);
    });
    const remote = wrap<SessionApi<Blob>>(port);
    const made: HostLife = { remote, port, gone: isGone, end };
    const lost = (why: string): void => {
      end(why);
      if (!closed) life = reestablish();
    };

    try {
      const welcome = await sayHello(remote, portId, unlock !== undefined, host.failed);
      epoch = welcome.epoch;
      chosenMode = mode;
      hear.onWelcome(welcome, reason);
      for (const envelope of early) hearEnvelope(envelope);
      if (locks) stopWatching = onLockFree(locks, hostLock(epoch as Epoch), () => lost("its lock is free"));
      return made;
    } catch (error) {
      end("no handshake");
      throw error;
    }
  }

  async function sayHello(
    remote: HostLife["remote"],
    portId: string,
    hasLock: boolean,
    failed: Promise<never>,
  ): Promise<Greeting> {
    for (;;) {
      const hello: Hello = {
        protocol: protocolVersion,
        build,
        portId,
        tabId: identity.tabId,
        tabSecret: identity.secret,
        windowId,
        servers: [...servers.values()],
        tasks: [...identity.tasks.values()],
        previews: options.previews,
        hasLock,
      };
      const answer: Answer<Welcome> = await Promise.race([
        remote.hello(JSON.stringify(hello)),
        failed,
        closing,
        deadline(handshakeMs),
      ]);
      const welcome = unpack(answer);
      if (!("refused" in welcome)) return welcome;
      await identity.renew();
    }
  }

  /** The next host. It may take some tries: nothing but `close` makes a page give up on its tasks. */
  async function reestablish(): Promise<HostLife> {
    for (;;) {
      try {
        return await establish();
      } catch (error) {
        if (closed) throw error;
        logger.warn("no host yet:", error);
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  life = establish();
  await life;

  const post = (envelope: TabEnvelope): void => {
    void life.then(({ port }) => port.postMessage(envelope)).catch(() => {}); // no host, nothing to tell
  };
  const ends = [
    platform.onPageEvent("pagehide", (persisted) => {
      identity.save();
      post({ comfyTabs: persisted ? "suspend" : "goodbye" });
      identity.release();
    }),
    platform.onPageEvent("pageshow", (persisted) => {
      if (persisted) void comeBack();
    }),
  ];

  /** Out of the back/forward cache: still ourselves, unless the tab's next page has our name by now. */
  async function comeBack(): Promise<void> {
    if (await identity.claim()) {
      post({ comfyTabs: "resume" });
    } else {
      await identity.renew();
      await life.then((old) => old.end("another page has its name"));
      life = reestablish();
    }
  }

  return {
    servers,
    async call<T>(
      method: SessionMethod,
      args: readonly unknown[],
      callOptions: CallOptions = {},
    ): Promise<T> {
      const { deadlineMs = callMs, signal } = callOptions;
      const limits = [closing, deadline(deadlineMs), ...(signal ? [aborted(signal)] : [])];
      for (let attempt = 0; attempt <= repeats; attempt += 1) {
        const host = await Promise.race([life, ...limits]);
        try {
          const invoke = host.remote[method] as unknown as (
            ...given: readonly unknown[]
          ) => Promise<Answer<T>>;
          return unpack(await Promise.race([invoke(...args), host.gone, ...limits]));
        } catch (error) {
          if (error !== gone) throw error;
        }
      }
      throw new ComfyTabsError("host-lost", `The host died ${repeats + 1} times during ${method}.`, {});
    },
    close() {
      closed = true;
      post({ comfyTabs: "goodbye" });
      for (const end of ends) end();
      close(closedError());
      identity.save();
      identity.release();
      void life.then(({ end }) => end("closed")).catch(() => {}); // there was none
    },
  };
}

export const closedError = (): ComfyTabsError<"closed"> =>
  new ComfyTabsError("closed", "This session is closed.", {});

function unpack<T>(answer: Answer<T>): T {
  if ("ok" in answer) return answer.ok;
  throw errorFromWire(answer.error);
}

function deadline(afterMs: number): Promise<never> {
  const limit = new Promise<never>((_, reject) => {
    if (afterMs === Number.POSITIVE_INFINITY) return;
    const message = `No answer from the host in ${afterMs / 1000} s.`;
    setTimeout(() => reject(new ComfyTabsError("timeout", message, { afterMs })), afterMs);
  });
  limit.catch(() => {}); // mostly the answer comes first
  return limit;
}

export function aborted(signal: AbortSignal): Promise<never> {
  const limit = new Promise<never>((_, reject) => {
    const abort = (): void => reject(new ComfyTabsError("aborted", "Aborted by its signal.", {}));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
  limit.catch(() => {}); // mostly nobody aborts
  return limit;
}

/** Flow control: the host keeps a window, and coalesces beyond it. */
function createAcknowledger(post: (envelope: TabEnvelope) => void): (envelope: EventEnvelope) => void {
  let [batches, bytes] = [0, 0];
  return ({ batch, events }) => {
    batches += 1;
    for (const event of events)
      if (event.kind === "task" && event.event.type === "preview") bytes += event.event.image.byteLength;
    if (batches < acknowledgeEvery.batches && bytes < acknowledgeEvery.bytes) return;
    [batches, bytes] = [0, 0];
    post({ comfyTabs: "ack", batch });
  };
}
