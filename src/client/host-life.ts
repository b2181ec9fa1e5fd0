import { type Remote, wrap } from "comlink";
import { errorFromWire } from "../protocol/errors.ts";
import type { Epoch } from "../protocol/ids.ts";
import { previewBytes } from "../protocol/mailbox.ts";
import { hostLock } from "../protocol/names.ts";
import {
  type Answer,
  acknowledgeEvery,
  type EventEnvelope,
  type Hello,
  type HostEvent,
  type SessionApi,
  type TabEnvelope,
  type Welcome,
} from "../protocol/session-api.ts";
import { type Carry, closedError, type Request, timeoutError, within } from "./calls.ts";
import { onLockFree, type PortLock } from "./locks.ts";
import type { HostPort, LocksLike } from "./platform.ts";
import { listening, type Patience } from "./silence.ts";

/** Without locks only silence tells a dead host; one that is busy gets minutes. */
const pings = { everyMs: 30_000, patienceMs: 120_000 } as const;

export type Greeting = Exclude<Welcome, { refused: string }>;

export interface HostMeans {
  readonly locks: LocksLike | undefined;
  readonly portLock: PortLock;
  /** How long it may say nothing at all: one that is busy with the claims of many tabs says that it is there. */
  readonly patience: Patience;
  /** For its answer to the hello. Undefined: as long as it is there. */
  readonly deadlineMs: number | undefined;
  /** Hello is said before the port's lock is held. */
  readonly isEarly: boolean;
  readonly hello: (portId: string, hasLock: boolean) => Request<Hello>;
  /** It has said nothing for so long: the handshake fails with `timeout`. */
  readonly onSilent: () => void;
  /** The host has another page under our id. The next hello is said when this resolves. */
  readonly onRefused: () => Promise<void>;
  readonly onEvent: (event: HostEvent) => void;
  /** After the handshake: this host is gone, or another one answers on its port. */
  readonly onGone: (why: string) => void;
  /** After the handshake: it holds its locks and answers nothing. It counts as gone from here on. */
  readonly onHung: (epoch: string) => void;
  /** Whether the page has open tasks, of which only the host can tell. */
  readonly waits: () => boolean;
  /** The page does not want a host any more. */
  readonly closing: AbortSignal;
}

/** One life of one host, as this page sees it. */
export interface HostLife {
  readonly greeting: Greeting;
  readonly carry: Carry;
  /** Whether they tell when it dies. */
  readonly locks: boolean;
  post(envelope: TabEnvelope): void;
  /** Into the back/forward cache. @returns whether it needs another port when it comes back */
  suspend(): boolean;
  end(): void;
}

/**
 * Shakes hands with a host.
 *
 * @throws ComfyTabsError `timeout`, `version-mismatch`, `closed`, or what the host says of the hello;
 *   anything else means that there is no such host
 */
export async function meetHost(host: HostPort, means: HostMeans): Promise<HostLife> {
  const { locks, portLock, patience, deadlineMs, isEarly, onEvent, onGone, onHung, waits, closing } = means;
  const { port } = host;
  const hasLock = !isEarly && (await portLock.hold());
  let stopWatching = (): void => {};
  let epoch: string | undefined;
  let over = false;

  const post = (envelope: TabEnvelope): void => port.postMessage(envelope);
  const acknowledge = createAcknowledger(post);
  const end = (): void => {
    if (over) return;
    over = true;
    stopWatching();
    post({ comfyTabs: "goodbye" });
    port.close();
    host.close();
    void portLock.release();
  };
  const gone = (why: string): void => {
    if (over) return;
    end();
    onGone(why);
  };

  port.addEventListener("message", ({ data }: MessageEvent<EventEnvelope>) => {
    if (data?.comfyTabs !== "events" || over) return;
    // The same port with another epoch: the browser has restarted the worker behind our back.
    if (epoch !== undefined && data.epoch !== epoch) {
      gone("replaced");
      return;
    }
    for (const event of data.events) onEvent(event);
    acknowledge(data);
  });
  const raw = carrier(wrap<SessionApi<Blob>>(port));
  let isSilent = (): void => {};
  const silence = new Promise<never>((_, reject) => {
    isSilent = () => {
      means.onSilent();
      reject(timeoutError(patience.suspicionMs + 2 * patience.halfMs));
    };
  });
  const hailing = listening(
    raw,
    () => false,
    () => isSilent(),
    patience,
  );

  try {
    const hail = sayHello(hailing.carry, () => means.hello(portLock.portId, hasLock), means);
    const limits = { signal: closing, ...(deadlineMs === undefined ? {} : { deadlineMs }) };
    const greeting = await within(Promise.race([hail, host.failed, silence]), limits, closedError);
    epoch = greeting.epoch;
    const hasLocks = locks !== undefined && (isEarly || hasLock);
    // Where there are none, pings ask anyway, and are more patient.
    const { carry, rest, stop } = listening(
      raw,
      () => hasLocks && waits(),
      () => {
        if (over) return;
        end();
        onHung(greeting.epoch);
      },
    );
    const stopWaiting = hasLocks
      ? onLockFree(locks, hostLock(epoch as Epoch), () => gone("its lock is free"))
      : ping(raw, () => gone("silent"));
    stopWatching = () => {
      stop();
      stopWaiting();
    };
    if (greeting.tasks.length > 0) rest();
    const suspend = (): boolean => {
      post({ comfyTabs: "suspend" });
      // A message that is on its way now would evict the page. Without locks nobody could tell this port's end.
      if (hasLocks) port.close();
      return hasLocks;
    };
    return { greeting, carry, locks: hasLocks, post, suspend, end };
  } catch (error) {
    end();
    throw error;
  } finally {
    hailing.stop();
  }
}

async function sayHello(
  carry: Carry,
  hello: () => Request<Hello>,
  { onRefused }: HostMeans,
): Promise<Greeting> {
  for (;;) {
    const answer = (await carry("hello", [JSON.stringify(hello())])) as Answer<Welcome>;
    if ("error" in answer) throw errorFromWire(answer.error);
    if (!("refused" in answer.ok)) return answer.ok;
    await onRefused();
  }
}

const carrier =
  (remote: Remote<SessionApi<Blob>>): Carry =>
  (method, args) =>
    (remote[method] as unknown as (...given: readonly unknown[]) => Promise<Answer<unknown>>)(...args);

/** @returns the function that ends it */
function ping(carry: Carry, unanswered: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended = false;
  const rest = (): void => {
    clearTimeout(timer);
    if (!ended) timer = setTimeout(ask, pings.everyMs);
  };
  const ask = (): void => {
    timer = setTimeout(unanswered, pings.patienceMs);
    carry("diagnostics", []).then(rest, rest);
  };
  rest();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** Flow control: the host keeps a window, and coalesces beyond it. */
function createAcknowledger(post: (envelope: TabEnvelope) => void): (envelope: EventEnvelope) => void {
  let [batches, bytes] = [0, 0];
  return ({ batch, events }) => {
    batches += 1;
    bytes += previewBytes(events);
    if (batches < acknowledgeEvery.batches && bytes < acknowledgeEvery.bytes) return;
    [batches, bytes] = [0, 0];
    post({ comfyTabs: "ack", batch });
  };
}
