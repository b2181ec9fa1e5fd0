import type { Endpoint } from "comlink";
import { type WireError, wireError } from "../protocol/errors.ts";
import {
  argumentLimit,
  type SessionMethod,
  sessionMethods,
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

/** Calls of one port that wait for their answer; beyond, they are answered with an error at once. */
const callLimit = 1000;

const methods: ReadonlySet<string> = new Set<SessionMethod>(sessionMethods);

/**
 * What Comlink gets to see of a port: calls of the listed methods with flat arguments, and nothing else. A
 * stock `expose` lets any tab reach constructors and write to shared objects, and throws outside its own
 * `try` on a bad argument list. Whoever sends a bad call with a readable id is answered, so that an honest
 * mistake does not hang; the rest is dropped.
 */
export function filteringEndpoint(port: PortLike, onEnvelope: (envelope: TabEnvelope) => void): Endpoint {
  const listeners = new Set<EventListenerOrEventListenerObject>();
  let waiting = 0;

  port.onmessage = (event: MessageEvent<unknown>) => {
    const envelope = readEnvelope(event.data);
    if (envelope) {
      onEnvelope(envelope);
      return;
    }
    const call = readCall(event.data);
    if (!call) return;
    const error = call.error ?? (waiting >= callLimit ? tooMany() : undefined);
    if (error) {
      port.postMessage({ id: call.id, type: "RAW", value: { error } });
      return;
    }
    waiting += 1;
    for (const listener of listeners) {
      if (typeof listener === "function") listener(event);
      else listener.handleEvent(event);
    }
  };
  // What cannot be cloned into this realm is nobody's: it has no id to answer to.
  port.onmessageerror = () => {};

  return {
    addEventListener: (_type, listener) => listeners.add(listener),
    removeEventListener: (_type, listener) => listeners.delete(listener),
    postMessage(message, transfer) {
      waiting -= 1;
      port.postMessage(message, transfer ?? []);
    },
    start() {},
  };
}

const tooMany = (): WireError =>
  wireError("too-large", `More than ${callLimit} calls of this tab wait for their answers.`, {
    limit: callLimit,
  });

function readEnvelope(data: unknown): TabEnvelope | undefined {
  if (typeof data !== "object" || data === null || !("comfyTabs" in data)) return undefined;
  const { comfyTabs: kind } = data;
  if (kind === "suspend" || kind === "resume" || kind === "goodbye") return { comfyTabs: kind };
  if (kind !== "ack" || !("batch" in data)) return undefined;
  const { batch } = data;
  return typeof batch === "number" && Number.isSafeInteger(batch) ? { comfyTabs: kind, batch } : undefined;
}

/** A Comlink call, if it is one that may pass; with an error, if it may only be answered. */
function readCall(data: unknown): { id: string; error?: WireError } | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { id, type, path, argumentList } = data as Record<string, unknown>;
  if (typeof id !== "string" || id.length > 100) return undefined;
  if (type !== "APPLY" || !Array.isArray(path) || path.length !== 1 || !methods.has(path[0] as string))
    return { id, error: wireError("not-found", "There is no such call.", { what: "call" }) };
  const [method] = path as [SessionMethod];
  if (!Array.isArray(argumentList) || argumentList.length > 2) return { id, error: badArguments(method) };
  for (const [place, argument] of argumentList.entries()) {
    const value = rawValue(argument);
    if (place === 1 && method === "upload" && value instanceof Blob) continue;
    if (typeof value !== "string") return { id, error: badArguments(method) };
    const limit = place === 1 && method === "submit" ? workflowLimit : argumentLimit;
    if (value.length > limit) {
      const message = `An argument of ${method} has ${value.length} characters; the limit is ${limit}.`;
      return { id, error: wireError("too-large", message, { size: value.length, limit }) };
    }
  }
  return { id };
}

function rawValue(argument: unknown): unknown {
  if (typeof argument !== "object" || argument === null) return undefined;
  const { type, value } = argument as { type?: unknown; value?: unknown };
  return type === "RAW" ? value : undefined;
}

const badArguments = (method: SessionMethod): WireError =>
  wireError("invalid-option", `The arguments of ${method} are not what it takes.`, { option: method });
