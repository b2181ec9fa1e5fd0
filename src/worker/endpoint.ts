import { type WireError, wireError } from "../protocol/errors.ts";
import {
  type Answer,
  argumentLimit,
  type SessionMethod,
  sessionMethods,
  sessionParameters,
  type TabEnvelope,
  workflowLimit,
} from "../protocol/session-api.ts";

/** The part of a `MessagePort` that is used. */
export interface PortLike {
  onmessage: ((event: MessageEvent) => void) | null;
  onmessageerror: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
  close(): void;
}

/** Gives a call's answer, once: it is on the port when this returns. */
export type Reply = (answer: Answer<unknown>) => void;

/** What arrives on a port and may pass. */
export interface TabTraffic {
  call(method: SessionMethod, args: readonly (string | Blob)[], reply: Reply): void;
  envelope(envelope: TabEnvelope): void;
}

export interface TabEndpoint {
  /** Posts what is not an answer. */
  post(message: unknown, transfer: Transferable[]): void;
  close(): void;
  /** Messages that were neither calls nor envelopes. */
  readonly dropped: number;
}

/** Calls of one port that wait for their answer; beyond, they are answered with an error at once. */
const callLimit = 1000;

const methods: ReadonlySet<unknown> = new Set(sessionMethods);

/**
 * Reads a port and answers it, in Comlink's messages: calls of the listed methods with flat arguments, and
 * nothing else. Comlink's own `expose` lets any tab reach constructors and write to shared objects, throws
 * on a bad argument list, and answers some microtasks late, so that events overtake answers. Whoever sends
 * a bad call with a readable id is answered, so that an honest mistake does not hang; the rest is dropped.
 */
export function openEndpoint(port: PortLike, traffic: TabTraffic): TabEndpoint {
  let unanswered = 0;
  let dropped = 0;

  port.onmessage = ({ data }: MessageEvent<unknown>) => {
    const envelope = readEnvelope(data);
    if (envelope) {
      traffic.envelope(envelope);
      return;
    }
    const call = readCall(data);
    if (!call) {
      dropped += 1;
      return;
    }
    if (call.error || unanswered >= callLimit) {
      answer(call.id, { error: call.error ?? tooMany() });
      return;
    }
    unanswered += 1;
    traffic.call(call.method, call.args, (given) => {
      unanswered -= 1;
      answer(call.id, given);
    });
  };
  // What cannot be cloned into this realm has no id to answer to.
  port.onmessageerror = () => {
    dropped += 1;
  };

  function answer(id: string, value: Answer<unknown>): void {
    try {
      port.postMessage({ id, type: "RAW", value });
    } catch (thrown) {
      const error = wireError("host-lost", `The answer cannot be sent: ${String(thrown)}`, {});
      port.postMessage({ id, type: "RAW", value: { error } });
    }
  }

  return {
    get dropped() {
      return dropped;
    },
    post: (message, transfer) => port.postMessage(message, transfer),
    close() {
      port.onmessage = null;
      port.onmessageerror = null;
      port.close();
    },
  };
}

const tooMany = (): WireError =>
  wireError("too-large", `More than ${callLimit} calls of this tab wait for their answers.`, {
    limit: callLimit,
  });

type Word = Exclude<TabEnvelope["comfyTabs"], "ack">;
const words: readonly Word[] = ["locked", "noted", "suspend", "resume", "goodbye"];
const isWord = (kind: unknown): kind is Word => words.includes(kind as Word);

function readEnvelope(data: unknown): TabEnvelope | undefined {
  if (typeof data !== "object" || data === null || !("comfyTabs" in data)) return undefined;
  const { comfyTabs: kind } = data;
  if (isWord(kind)) return { comfyTabs: kind };
  if (kind !== "ack" || !("batch" in data)) return undefined;
  const { batch } = data;
  return typeof batch === "number" && Number.isSafeInteger(batch) ? { comfyTabs: kind, batch } : undefined;
}

type Call = { readonly id: string } & (
  | { readonly error: WireError }
  | { readonly error?: undefined; readonly method: SessionMethod; readonly args: readonly (string | Blob)[] }
);

/**
 * A Comlink call, if it is one that may pass; with an error, if it may only be answered. The arguments are
 * a list of ours: a clone keeps own properties, and the sender's may have a `map` of its own.
 */
function readCall(data: unknown): Call | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { id, type, path, argumentList } = data as Record<string, unknown>;
  if (typeof id !== "string" || id.length === 0 || id.length > 100) return undefined;
  if (type !== "APPLY" || !Array.isArray(path) || path.length !== 1 || !methods.has(path[0]))
    return { id, error: wireError("not-found", "There is no such call.", { what: "call" }) };
  const method: SessionMethod = path[0];
  const wanted = sessionParameters[method];
  if (!Array.isArray(argumentList) || argumentList.length > 2 || argumentList.length < wanted.length)
    return { id, error: badArguments(method) };
  const args: (string | Blob)[] = [];
  for (let place = 0; place < argumentList.length; place += 1) {
    const value = rawValue(argumentList[place]);
    if (wanted[place] === "blob" && value instanceof Blob) {
      args.push(value);
      continue;
    }
    if (typeof value !== "string" || wanted[place] === "blob") return { id, error: badArguments(method) };
    const limit = place === 1 && method === "submit" ? workflowLimit : argumentLimit;
    if (value.length > limit) {
      const message = `An argument of ${method} has ${value.length} characters; the limit is ${limit}.`;
      return { id, error: wireError("too-large", message, { size: value.length, limit }) };
    }
    args.push(value);
  }
  return { id, method, args };
}

function rawValue(argument: unknown): unknown {
  if (typeof argument !== "object" || argument === null) return undefined;
  const { type, value } = argument as { type?: unknown; value?: unknown };
  return type === "RAW" ? value : undefined;
}

const badArguments = (method: SessionMethod): WireError =>
  wireError("invalid-option", `The arguments of ${method} are not what it takes.`, { option: method });
