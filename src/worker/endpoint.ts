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

export interface TabEndpoint extends Endpoint {
  /** Posts what is not an answer, after every answer that was given before it. */
  post(message: unknown, transfer: Transferable[]): void;
  /** A call's answer has been decided; Comlink sends it some microtasks later. */
  answerGiven(): void;
  close(): void;
  /** Messages that were neither calls nor envelopes. */
  readonly dropped: number;
}

/** Calls of one port that wait for their answer; beyond, they are answered with an error at once. */
const callLimit = 1000;

const methods: ReadonlySet<unknown> = new Set<SessionMethod>(sessionMethods);

/** What each call takes, at least: a newer tab may send one argument more. */
const parameters: { readonly [Method in SessionMethod]: readonly ("text" | "blob")[] } = {
  hello: ["text"],
  addServers: ["text"],
  submit: ["text", "text"],
  register: ["text"],
  clientId: ["text"],
  cancel: ["text"],
  dismiss: ["text"],
  upload: ["text", "blob"],
  abort: ["text"],
  fetchFile: ["text"],
  objectInfo: ["text"],
  diagnostics: [],
};

/**
 * What Comlink gets to see of a port: calls of the listed methods with flat arguments, and nothing else. A
 * stock `expose` lets any tab reach constructors and write to shared objects, and throws outside its own
 * `try` on a bad argument list. Whoever sends a bad call with a readable id is answered, so that an honest
 * mistake does not hang; the rest is dropped.
 */
export function filteringEndpoint(port: PortLike, onEnvelope: (envelope: TabEnvelope) => void): TabEndpoint {
  const listeners = new Set<EventListenerOrEventListenerObject>();
  const held: (() => void)[] = [];
  let unanswered = 0;
  let answersDue = 0;
  let dropped = 0;

  port.onmessage = ({ data }: MessageEvent<unknown>) => {
    const envelope = readEnvelope(data);
    if (envelope) {
      onEnvelope(envelope);
      return;
    }
    const call = readCall(data);
    if (!call) {
      dropped += 1;
      return;
    }
    const error = call.error ?? (unanswered >= callLimit ? tooMany() : undefined);
    if (error) {
      port.postMessage({ id: call.id, type: "RAW", value: { error } });
      return;
    }
    unanswered += 1;
    const event = { data: call.message } as MessageEvent;
    for (const listener of listeners) {
      if (typeof listener === "function") listener(event);
      else listener.handleEvent(event);
    }
  };
  // What cannot be cloned into this realm has no id to answer to.
  port.onmessageerror = () => {
    dropped += 1;
  };

  return {
    get dropped() {
      return dropped;
    },
    addEventListener: (_type, listener) => listeners.add(listener),
    removeEventListener: (_type, listener) => listeners.delete(listener),
    start() {},
    postMessage(message, transfer) {
      // Where an answer cannot be cloned this throws, and Comlink posts another one in its place.
      port.postMessage(message, transfer ?? []);
      unanswered -= 1;
      answersDue = Math.max(0, answersDue - 1);
      if (answersDue === 0) for (const send of held.splice(0)) send();
    },
    answerGiven() {
      answersDue += 1;
    },
    post(message, transfer) {
      // Events decided after an answer would overtake it: Comlink is still on its way through promises.
      if (answersDue > 0) held.push(() => port.postMessage(message, transfer));
      else port.postMessage(message, transfer);
    },
    close() {
      port.onmessage = null;
      port.onmessageerror = null;
      // Answers that are already given still go out.
      setTimeout(() => port.close());
    },
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

type Call = { readonly id: string } & (
  | { readonly error: WireError; readonly message?: undefined }
  | { readonly error?: undefined; readonly message: object }
);

/**
 * A Comlink call, if it is one that may pass; with an error, if it may only be answered. What passes is
 * built anew: a clone keeps own properties, and an argument list with a `map` of its own breaks Comlink.
 */
function readCall(data: unknown): Call | undefined {
  if (typeof data !== "object" || data === null) return undefined;
  const { id, type, path, argumentList } = data as Record<string, unknown>;
  if (typeof id !== "string" || id.length === 0 || id.length > 100) return undefined;
  if (type !== "APPLY" || !Array.isArray(path) || path.length !== 1 || !methods.has(path[0]))
    return { id, error: wireError("not-found", "There is no such call.", { what: "call" }) };
  const method: SessionMethod = path[0];
  const wanted = parameters[method];
  if (!Array.isArray(argumentList) || argumentList.length > 2 || argumentList.length < wanted.length)
    return { id, error: badArguments(method) };
  const passed: { type: "RAW"; value: string | Blob }[] = [];
  for (let place = 0; place < argumentList.length; place += 1) {
    const value = rawValue(argumentList[place]);
    if (wanted[place] === "blob" && value instanceof Blob) {
      passed.push({ type: "RAW", value });
      continue;
    }
    if (typeof value !== "string" || wanted[place] === "blob") return { id, error: badArguments(method) };
    const limit = place === 1 && method === "submit" ? workflowLimit : argumentLimit;
    if (value.length > limit) {
      const message = `An argument of ${method} has ${value.length} characters; the limit is ${limit}.`;
      return { id, error: wireError("too-large", message, { size: value.length, limit }) };
    }
    passed.push({ type: "RAW", value });
  }
  return { id, message: { id, type, path: [method], argumentList: passed } };
}

function rawValue(argument: unknown): unknown {
  if (typeof argument !== "object" || argument === null) return undefined;
  const { type, value } = argument as { type?: unknown; value?: unknown };
  return type === "RAW" ? value : undefined;
}

const badArguments = (method: SessionMethod): WireError =>
  wireError("invalid-option", `The arguments of ${method} are not what it takes.`, { option: method });
