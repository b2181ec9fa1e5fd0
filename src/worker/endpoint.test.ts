import { wrap } from "comlink";
import { afterEach, describe, expect, test } from "vitest";
import { argumentLimit, sessionMethods, type TabEnvelope, workflowLimit } from "../protocol/session-api.ts";
import { openEndpoint, type PortLike, type Reply, type TabEndpoint } from "./endpoint.ts";

const raw = (value: unknown) => ({ type: "RAW", value });
const apply = (method: unknown, ...args: unknown[]) => ({
  id: "call-1",
  type: "APPLY",
  path: [method],
  argumentList: args.map(raw),
});

interface Posted {
  id?: string;
  value?: { ok?: unknown; error?: { code: string; details: Record<string, unknown> } };
  events?: unknown;
}

/** A port without a browser: what arrives is cloned as a browser would, what is posted is kept. */
function serve(methods: { [method: string]: (reply: Reply) => void } = {}) {
  const posted: Posted[] = [];
  const envelopes: TabEnvelope[] = [];
  const calls: [string, unknown[]][] = [];
  const port: PortLike = {
    onmessage: null,
    onmessageerror: null,
    postMessage: (message) => void posted.push(structuredClone(message) as Posted),
    close() {},
  };
  const endpoint = openEndpoint(port, {
    envelope: (envelope) => void envelopes.push(envelope),
    call(method, args, reply) {
      calls.push([method, [...args]]);
      const answer = methods[method];
      if (answer) answer(reply);
      else reply({ ok: method });
    },
  });
  return {
    posted,
    envelopes,
    calls,
    endpoint,
    receive: (data: unknown) => port.onmessage?.({ data: structuredClone(data) } as MessageEvent),
    failToRead: () => port.onmessageerror?.({} as MessageEvent),
  };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const withOwn = (list: unknown[], property: string): unknown[] => Object.assign(list, { [property]: 1 });

describe("a port's endpoint", () => {
  test.each(sessionMethods)("lets %s through", async (method) => {
    const { receive, calls, posted } = serve();
    receive(apply(method, "text", method === "upload" ? new Blob(["x"]) : "text"));
    await settled();
    expect(calls.map(([name]) => name)).toEqual([method]);
    expect(posted).toEqual([{ id: "call-1", type: "RAW", value: { ok: method } }]);
  });

  test.each<[string, unknown]>([
    ["a constructor", { ...apply("hello", "x"), path: ["hello", "constructor"] }],
    ["the object's constructor", apply("constructor", "x")],
    ["a prototype", apply("__proto__", "x")],
    ["an inherited name", apply("toString", "x")],
    ["a nested path", { ...apply("hello", "x"), path: ["hello", "call"] }],
    ["an empty path", { ...apply("hello", "x"), path: [] }],
    ["a path that is a string", { ...apply("hello", "x"), path: "hello" }],
    ["a path of an object", { ...apply("hello", "x"), path: [{ toString: "hello" }] }],
    ["no path", { id: "call-1", type: "APPLY", argumentList: [] }],
    ["GET", { ...apply("hello", "x"), type: "GET" }],
    ["SET", { ...apply("hello"), type: "SET", value: raw("x") }],
    ["CONSTRUCT", { ...apply("hello", "x"), type: "CONSTRUCT" }],
    ["ENDPOINT", { id: "call-1", type: "ENDPOINT" }],
    ["RELEASE", { id: "call-1", type: "RELEASE" }],
    ["an unknown type", { ...apply("hello", "x"), type: "EVAL" }],
  ])("answers %s itself, with an error", async (_what, message) => {
    const { receive, calls, posted } = serve();
    receive(message);
    await settled();
    expect(calls).toEqual([]);
    expect(posted.map(({ id, value }) => [id, value?.error?.code])).toEqual([["call-1", "not-found"]]);
  });

  test.each<[string, unknown]>([
    ["a string for a list", { ...apply("cancel"), argumentList: "xx" }],
    ["an array-like", { ...apply("cancel"), argumentList: { length: 1, 0: raw("x") } }],
    ["nothing", { id: "call-1", type: "APPLY", path: ["cancel"] }],
    ["a null entry", { ...apply("cancel"), argumentList: [null] }],
    ["a hole", { ...apply("cancel"), argumentList: new Array(1) }],
    ["too few", apply("submit", "{}")],
    ["too many", apply("cancel", "a", "b", "c")],
    ["a million", { ...apply("cancel"), argumentList: new Array(1_000_000) }],
    [
      "an unknown handler",
      { ...apply("cancel"), argumentList: [{ type: "HANDLER", name: "nobody", value: 1 }] },
    ],
    ["a proxy handler", { ...apply("cancel"), argumentList: [{ type: "HANDLER", name: "proxy", value: 1 }] }],
    [
      "a throw handler",
      { ...apply("cancel"), argumentList: [{ type: "HANDLER", name: "throw", value: {} }] },
    ],
    ["a number", apply("cancel", 1)],
    ["an object", apply("cancel", { toString: "x" })],
    ["a boxed string", apply("cancel", Object("x"))],
    ["a Blob where text belongs", apply("cancel", new Blob(["x"]))],
    ["a Blob as the first of upload", apply("upload", new Blob(["x"]), new Blob(["x"]))],
    ["text for the file", apply("upload", "{}", "text")],
    ["bytes for the file", apply("upload", "{}", new Uint8Array(3))],
    ["a list with entries of its own", { ...apply("cancel"), argumentList: withOwn(["x"], "entries") }],
  ])("answers an argument list that is %s, with an error", async (_what, message) => {
    const { receive, calls, posted } = serve();
    receive(message);
    await settled();
    expect(calls).toEqual([]);
    expect(posted.map(({ id, value }) => [id, value?.error?.code])).toEqual([["call-1", "invalid-option"]]);
  });

  test.each(["map", "entries", "reduce", "slice"])(
    "hands on a list without the sender's own %s",
    async (property) => {
      const { receive, calls, posted } = serve();
      const message = apply("cancel", "task-1");
      receive({
        ...message,
        path: withOwn(message.path, property),
        argumentList: withOwn(message.argumentList, property),
      });
      await settled();
      expect(calls).toEqual([["cancel", ["task-1"]]]);
      expect(posted).toHaveLength(1);
    },
  );

  test.each<[string, unknown]>([
    ["null", null],
    ["undefined", undefined],
    ["a string", "hello"],
    ["a list", [1, 2]],
    ["a map", new Map([["id", "1"]])],
    ["a call without id", { type: "APPLY", path: ["cancel"], argumentList: [raw("x")] }],
    ["an id that is a number", { ...apply("cancel", "x"), id: 7 }],
    ["an id that is an object", { ...apply("cancel", "x"), id: { a: 1 } }],
    ["an empty id", { ...apply("cancel", "x"), id: "" }],
    ["an endless id", { ...apply("cancel", "x"), id: "x".repeat(1_000_000) }],
    ["an envelope of another kind", { comfyTabs: "events", batch: 1 }],
    ["an ack of text", { comfyTabs: "ack", batch: "1" }],
    ["an ack of NaN", { comfyTabs: "ack", batch: Number.NaN }],
    ["50 MB", { junk: "x".repeat(50_000_000) }],
  ])("drops and counts %s", async (_what, message) => {
    const { receive, calls, posted, envelopes, endpoint } = serve();
    receive(message);
    await settled();
    expect([calls, posted, envelopes]).toEqual([[], [], []]);
    expect(endpoint.dropped).toBe(1);
  });

  test("counts what could not be cloned", () => {
    const { failToRead, endpoint } = serve();
    failToRead();
    expect(endpoint.dropped).toBe(1);
  });

  test.each<[string, string, string[], number]>([
    ["17 million characters of a workflow", "submit", ["{}", "x".repeat(17_000_000)], workflowLimit],
    ["a workflow in the wrong place", "submit", ["x".repeat(argumentLimit + 1), "{}"], argumentLimit],
    ["more than a million of anything else", "cancel", ["x".repeat(argumentLimit + 1)], argumentLimit],
  ])("answers %s with too-large", async (_what, method, args, limit) => {
    const { receive, calls, posted } = serve();
    receive(apply(method, ...args));
    await settled();
    expect(calls).toEqual([]);
    expect(posted[0]?.value?.error).toMatchObject({ code: "too-large", details: { limit } });
  });

  test("takes a workflow as long as the limit", async () => {
    const { receive, calls } = serve();
    receive(apply("submit", "{}", "x".repeat(workflowLimit)));
    await settled();
    expect(calls).toHaveLength(1);
  });

  test("passes on envelopes without anything else that was in them", () => {
    const { receive, envelopes } = serve();
    receive({ comfyTabs: "ack", batch: 3, more: 1 });
    receive({ comfyTabs: "locked", more: 1 });
    receive({ comfyTabs: "noted" });
    receive({ comfyTabs: "toString" });
    receive({ comfyTabs: "suspend" });
    receive({ comfyTabs: "resume" });
    receive({ comfyTabs: "goodbye" });
    expect(envelopes).toEqual([
      { comfyTabs: "ack", batch: 3 },
      { comfyTabs: "locked" },
      { comfyTabs: "noted" },
      { comfyTabs: "suspend" },
      { comfyTabs: "resume" },
      { comfyTabs: "goodbye" },
    ]);
  });

  test("answers calls beyond a thousand unanswered ones at once, and takes new ones when those are answered", async () => {
    const waiting: Reply[] = [];
    const { receive, calls, posted } = serve({ cancel: (reply) => waiting.push(reply) });
    for (let call = 0; call < 20_000; call += 1) receive({ ...apply("cancel", "x"), id: `call-${call}` });
    expect(calls).toHaveLength(1000);
    expect(posted).toHaveLength(19_000);
    expect(posted.every(({ value }) => value?.error?.code === "too-large")).toBe(true);
    for (const reply of waiting) reply({ ok: true });
    await settled();
    expect(posted).toHaveLength(20_000);
    receive(apply("cancel", "x"));
    expect(calls).toHaveLength(1001);
  });

  test("an answer that cannot be cloned becomes an error, and its place is free again", async () => {
    const { receive, posted, calls } = serve({ cancel: (reply) => reply({ ok: () => {} }) });
    for (let call = 0; call < 1500; call += 1) {
      receive(apply("cancel", "x"));
      await settled();
    }
    expect(calls).toHaveLength(1500);
    expect(posted).toHaveLength(1500);
  });

  test("sends events after the answers that were given before them", async () => {
    let endpoint: TabEndpoint | undefined;
    const { receive, posted, ...served } = serve({
      hello: (reply) => {
        endpoint?.post({ events: "before" }, []);
        reply({ ok: "welcome" });
        endpoint?.post({ events: "after" }, []);
      },
    });
    endpoint = served.endpoint;
    receive(apply("hello", "{}"));
    await settled();
    endpoint.post({ events: "later" }, []);
    expect(posted.map(({ id, events }) => id ?? events)).toEqual(["before", "call-1", "after", "later"]);
  });
});

describe("an honest tab behind Comlink", () => {
  const open: MessagePort[] = [];
  afterEach(() => {
    for (const port of open.splice(0)) port.close();
  });

  test("gets its answers, and errors where it calls what is not there", async () => {
    const { port1, port2 } = new MessageChannel();
    open.push(port1, port2);
    openEndpoint(port1, { envelope() {}, call: (_method, [id], reply) => reply({ ok: id }) });
    const remote = wrap<Record<string, (...args: unknown[]) => Promise<unknown>>>(port2);
    expect(await remote.cancel?.("task-1")).toEqual({ ok: "task-1" });
    expect(await remote.steal?.("task-1")).toMatchObject({ error: { code: "not-found" } });
    expect(await remote.cancel?.(7)).toMatchObject({ error: { code: "invalid-option" } });
  });
});
