import { randomInt, randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import type { JsonObject } from "../../comfy/messages.ts";
import { type ServerAbilities, serverAbilities } from "../abilities.ts";
import { type Connection, openConnection } from "./connection.ts";

/** How long a fact may take to come true. A real server on a busy machine is slow. */
export const deadlineMs = 20_000;

/** Where the contract's server comes from: one that was started for it, or one that is there. */
export type ServerOf = () => Promise<{ readonly url: string; close(): Promise<void> }>;

export interface Reply {
  readonly status: number;
  readonly contentType: string;
  /** Parsed, if it is JSON. */
  readonly body: unknown;
}

export interface Submitted {
  readonly prompt_id: string;
  readonly number: number;
  readonly node_errors: object;
}

/** The server under test, and what the contract may know of it: its version, and whether it has test nodes. */
export interface ServerUnderTest {
  readonly url: string;
  readonly version: string;
  readonly abilities: ServerAbilities;
  /** The `protolab` nodes take a time, show previews and fail as they are told. */
  readonly hasProtolab: boolean;
  /** @param clientId default: one of its own */
  connect(clientId?: string): Promise<Connection>;
  request(method: string, path: string, body?: unknown): Promise<Reply>;
  bytes(path: string): Promise<{ status: number; contentType: string; bytes: Buffer }>;
  form(path: string, fields: Readonly<Record<string, string>>, file?: File): Promise<Reply>;
  submit(graph: JsonObject, fields?: JsonObject): Promise<Submitted>;
  history(promptId: string): Promise<HistoryEntry | undefined>;
  /** The ids that run, and those that wait in the order in which they will run. */
  queue(): Promise<{ running: string[]; pending: string[] }>;
}

export interface HistoryEntry {
  readonly prompt: readonly unknown[];
  readonly outputs: JsonObject;
  readonly status: { status_str: string; completed: boolean; messages: [type: string, data: JsonObject][] };
  readonly meta: JsonObject;
}

/** Starts it before the tests, and leaves it idle after each. */
export function serverUnderTest(serverOf: ServerOf): ServerUnderTest {
  let started: Awaited<ReturnType<ServerOf>>;
  let version = "";
  let hasProtolab = false;
  let connections: Connection[] = [];

  const server: ServerUnderTest = {
    get url() {
      return started.url;
    },
    get version() {
      return version;
    },
    get abilities() {
      return serverAbilities(version);
    },
    get hasProtolab() {
      return hasProtolab;
    },
    async connect(clientId = randomUUID()) {
      const connection = await openConnection(started.url, clientId);
      connections.push(connection);
      return connection;
    },
    async request(method, path, body) {
      const text = typeof body === "string" ? body : body === undefined ? null : JSON.stringify(body);
      return read(await ask(path, { method, body: text }));
    },
    async bytes(path) {
      const response = await ask(path);
      const bytes = Buffer.from(await response.arrayBuffer());
      return { status: response.status, contentType: response.headers.get("content-type") ?? "", bytes };
    },
    async form(path, fields, file) {
      const form = new FormData();
      for (const [name, value] of Object.entries(fields)) form.set(name, value);
      if (file) form.set("image", file);
      return read(await ask(path, { method: "POST", body: form }));
    },
    async submit(graph, fields = {}) {
      const { status, body } = await server.request("POST", "/prompt", { prompt: graph, ...fields });
      expect(status, JSON.stringify(body)).toBe(200);
      return body as Submitted;
    },
    async history(promptId) {
      const { body } = await server.request("GET", `/history/${promptId}`);
      return (body as Record<string, HistoryEntry>)[promptId];
    },
    async queue() {
      const { body } = await server.request("GET", "/queue");
      type Item = [number: number, promptId: string];
      const { queue_running, queue_pending } = body as { queue_running: Item[]; queue_pending: Item[] };
      const order = queue_pending.toSorted(([a, x], [b, y]) => a - b || (x < y ? -1 : 1));
      return { running: queue_running.map(([, id]) => id), pending: order.map(([, id]) => id) };
    },
  };

  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(started.url + path, { ...init, signal: AbortSignal.timeout(deadlineMs) });

  beforeAll(async () => {
    started = await serverOf();
    const { body } = await server.request("GET", "/system_stats");
    version = (body as { system: { comfyui_version: string } }).system.comfyui_version;
    const proto = await server.request("GET", "/object_info/ProtoSteps");
    hasProtolab = Object.hasOwn(proto.body as object, "ProtoSteps");
  }, 3 * deadlineMs);

  afterEach(async () => {
    await server.request("POST", "/queue", { clear: true });
    await server.request("POST", "/interrupt", {});
    const watch = await server.connect();
    await watch.frame(({ kind, data }) => kind === "status" && remaining(data) === 0);
    for (const connection of connections) await connection.close();
    connections = [];
  }, 3 * deadlineMs);

  afterAll(() => started.close());
  return server;
}

async function read(response: Response): Promise<Reply> {
  const contentType = response.headers.get("content-type") ?? "";
  const text = await response.text();
  const isJson = contentType.startsWith("application/json");
  return { status: response.status, contentType, body: isJson ? JSON.parse(text) : text };
}

export function remaining(status: JsonObject): number {
  return (status as { status: { exec_info: { queue_remaining: number } } }).status.exec_info.queue_remaining;
}

let lastValue = randomInt(2 ** 30);
/** A value that the server has not seen, so that nothing is in its cache. */
export const newValue = (): number => ++lastValue;

/** Nodes that every ComfyUI has. */
export const coreGraph = (value = newValue()): JsonObject => ({
  1: { class_type: "PrimitiveInt", inputs: { value } },
  2: { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
});

/** `steps` updates, `delay_ms` apart. */
export function stepsGraph(inputs: JsonObject = {}): JsonObject {
  const usual = { steps: 3, delay_ms: 5, preview: "none", preview_size: 64, seed: newValue() };
  return {
    1: { class_type: "ProtoSteps", inputs: { ...usual, ...inputs } },
    2: { class_type: "ProtoOut", inputs: { value: ["1", 1], tag: "t" } },
  };
}

/**
 * Runs for longer than a test, until it is interrupted. Since 0.9.2 updates less than half a percent apart are
 * left out, and interrupts are looked for only at the others: with more steps it would be deaf for long.
 */
export const endlessGraph = (): JsonObject => stepsGraph({ steps: 2000, delay_ms: 20 });
