import { describe, expect, test } from "vitest";
import type { Effect } from "../core/effects.ts";
import type { Fact, TabRequest } from "../core/facts.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { Answer, HostEvent } from "../protocol/session-api.ts";
import { createAccounts } from "./accounts.ts";
import { newEntry } from "./journal/journal-contract.ts";
import { memoryJournal } from "./journal/memory.ts";
import { createRuntime, type Runtime } from "./runtime.ts";
import type { Sockets } from "./server/socket.ts";

/** A runtime around a core that the test writes down: for each type of fact, what is ordered. */
function scripted(script: { [Type in Fact["type"]]?: (fact: Extract<Fact, { type: Type }>) => Effect[] }) {
  const facts: Fact[] = [];
  const log: string[] = [];
  const done: string[] = [];
  const later: (() => void)[] = [];
  const sockets: Sockets = {
    open: (key, url) => void done.push(`open ${key} ${url}`),
    send(key, text) {
      if (text === "fail") throw new Error("not open");
      done.push(`send ${key} ${text}`);
    },
    close: (key) => void done.push(`close ${key}`),
    closeAll: () => void done.push("close all"),
  };
  const accounts = createAccounts();
  const key = accounts.admit({
    id: "main",
    url: "http://comfy.test/gpu1",
    auth: { type: "query", token: "a b" },
  })?.key as ServerKey;
  const runtime: Runtime = createRuntime({
    epoch: "epoch-1",
    step(fact) {
      facts.push(fact);
      return (script[fact.type] as ((fact: Fact) => Effect[]) | undefined)?.(fact) ?? [];
    },
    clock: { now: () => 5, wall: () => 1000, random: () => 0.5 },
    journal: memoryJournal(),
    accounts,
    blockOf: async () => undefined,
    fetch: async (url, init) => new Response(`${init.method} ${url} ${init.body ?? ""}`),
    sockets: () => sockets,
    isDead: async (epoch) => epoch === "dead",
    isTabThere: async (tabId) => tabId === "there",
    transfers: () => ({
      start() {},
      abort() {},
      allowed: ({ call }) => void done.push(`allowed ${call}`),
      portGone() {},
      reconnected: (server) => void done.push(`forget ${server === key}`),
    }),
    afterThisTask: (then) => later.push(then),
    log: (level, message) => log.push(`${level} ${message}`),
  });
  return { runtime, facts, log, done, key, later };
}

const sent = (text: string): Effect => ({ do: "send-text", socket: 1, text });
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the runtime", () => {
  test("takes facts one after the other, also those that come up while it works", async () => {
    const { runtime, facts, done } = scripted({
      "socket-opened": () => [{ do: "answer", call: 1, answer: { ok: null } }, sent("first")],
      "went-online": () => [sent("second")],
    });
    runtime.call(
      (call) => ({ type: "tab-called", port: 1, call, request: { method: "diagnostics" } }),
      () => runtime.tell({ type: "went-online" }),
    );
    runtime.tell({ type: "socket-opened", socket: 1 });
    expect(facts.map(({ type }) => type)).toEqual(["tab-called", "socket-opened", "went-online"]);
    expect(done).toEqual(["send 1 first", "send 1 second"]);
  });

  test("does the rest when one effect fails", () => {
    const { runtime, done, log } = scripted({ "went-online": () => [sent("fail"), sent("after")] });
    runtime.tell({ type: "went-online" });
    expect(done).toEqual(["send 1 after"]);
    expect(log[0]).toContain("warn send-text failed: Error: not open");
  });

  test("answers the tab whose call the core failed at, and serves the others", () => {
    const { runtime, log } = scripted({
      "tab-called": ({ call, request }) => {
        if (request.method === "diagnostics") throw new Error("a bug");
        return [{ do: "answer", call, answer: { ok: "fine" } }];
      },
    });
    const answers: Answer<unknown>[] = [];
    const call = (request: TabRequest): void =>
      runtime.call(
        (call) => ({ type: "tab-called", port: 1, call, request }),
        (answer) => answers.push(answer),
      );
    call({ method: "diagnostics" });
    call({ method: "cancel", taskId: "t" });
    expect(answers).toMatchObject([{ error: { code: "host-lost" } }, { ok: "fine" }]);
    expect(log).toHaveLength(1);
  });

  test("transfers the bytes of previews, each once, and leaves out those that are gone", () => {
    const event = (image: ArrayBuffer): HostEvent => ({
      kind: "task",
      event: { type: "preview", seq: 1, taskId: "t", at: 0, nodeId: "1", image },
    });
    const image = new ArrayBuffer(4);
    const gone = new ArrayBuffer(4);
    structuredClone(gone, { transfer: [gone] });
    const { runtime } = scripted({
      "went-online": () => [
        { do: "post-batch", port: 7, batch: 3, events: [event(image), event(image), event(gone)] },
        { do: "post-batch", port: 8, batch: 1, events: [] },
      ],
    });
    const posted: [unknown, Transferable[]][] = [];
    runtime.addPort(
      7,
      (message, transfer) => posted.push([message, transfer]),
      () => {},
    );
    runtime.tell({ type: "went-online" });
    expect(posted).toEqual([
      [{ comfyTabs: "events", epoch: "epoch-1", batch: 3, events: [event(image), event(image)] }, [image]],
    ]);
  });

  test("ticks in a later task", () => {
    const { runtime, facts, later } = scripted({ "went-online": () => [{ do: "request-tick", port: 7 }] });
    runtime.tell({ type: "went-online" });
    expect(facts).toHaveLength(1);
    later[0]?.();
    expect(facts[1]).toEqual({ type: "port-ticked", port: 7 });
  });

  test("sends requests and sockets where the account belongs, and says what became of them", async () => {
    const { runtime, facts, done, key } = scripted({
      "went-online": () => [
        { do: "open-socket", socket: 1, server: key, clientId: "c 1" },
        {
          do: "request",
          request: 9,
          server: key,
          method: "POST",
          path: "/prompt",
          body: "{}",
          timeoutMs: 1000,
        },
      ],
    });
    runtime.tell({ type: "went-online" });
    await settled();
    expect(done).toEqual(["forget true", "open 1 ws://comfy.test/gpu1/ws?clientId=c%201&token=a%20b"]);
    expect(facts[1]).toEqual({
      type: "request-answered",
      request: 9,
      answer: { status: 200, text: "POST http://comfy.test/gpu1/prompt?token=a%20b {}" },
    });
  });

  test("lets the journal do what the core orders, in order, and says what came of it", async () => {
    const anna = { tabId: "tab-anna", tabSecret: "secret-anna" };
    const entry = newEntry({ ...anna, taskId: "portrait", cancelAt: 5 });
    const { runtime, facts } = scripted({
      "went-online": () => [
        { do: "write-journal", write: 4, entry, isNew: true },
        { do: "write-journal", write: 5, entry: { ...entry, taskId: "dismissed" }, isNew: false },
        { do: "claim-journal", claim: 6, ...anna },
        { do: "write-journal", write: 7, entry: { ...entry, settledAt: 9 }, isNew: false },
        { do: "claim-overdue", claim: 8, before: 6 },
        { do: "write-journal", write: 9, entry: { ...entry, generation: 3, settledAt: 9 }, isNew: false },
        { do: "expire-journal", before: 10, perTab: 1, inAll: 1 },
        { do: "write-journal", write: 10, entry: { ...entry, generation: 3 }, isNew: true },
        { do: "erase-journal", taskIds: ["portrait"] },
        { do: "claim-journal", claim: 11, ...anna },
      ],
    });
    runtime.tell({ type: "went-online" });
    await settled();
    expect(facts.slice(1)).toEqual([
      { type: "journal-written", write: 4, outcome: "written" },
      { type: "journal-written", write: 5, outcome: "superseded" },
      { type: "journal-claimed", claim: 6, entries: [{ ...entry, generation: 2 }] },
      { type: "journal-written", write: 7, outcome: "superseded" },
      { type: "journal-claimed", claim: 8, entries: [{ ...entry, generation: 3 }] },
      { type: "journal-written", write: 9, outcome: "written" },
      { type: "journal-written", write: 10, outcome: "written" },
      { type: "journal-claimed", claim: 11, entries: [] },
    ]);
  });

  test("does nothing any more when its tabs have left it", () => {
    const { runtime, facts, done } = scripted({ "went-online": () => [sent("hello")] });
    runtime.stop();
    runtime.tell({ type: "went-online" });
    expect([facts, done]).toEqual([[], ["close all"]]);
  });

  test("asks whether a former host is dead, and says so", async () => {
    const { runtime, facts, key } = scripted({
      "went-online": () => [{ do: "probe-host", epoch: "dead", server: key }],
    });
    runtime.tell({ type: "went-online" });
    await settled();
    expect(facts[1]).toEqual({ type: "host-probed", server: key, dead: true });
  });

  test("asks whether a tab lives somewhere, and says so", async () => {
    const { runtime, facts } = scripted({
      "went-online": () => [{ do: "probe-tab", tabId: "there", task: "portrait" }],
    });
    runtime.tell({ type: "went-online" });
    await settled();
    expect(facts[1]).toEqual({ type: "tab-probed", task: "portrait", lives: true });
  });

  test("wakes the core when it asked for it", async () => {
    const { runtime, facts } = scripted({ "went-online": () => [{ do: "wake", at: 5 }] });
    runtime.tell({ type: "went-online" });
    await expect.poll(() => facts.at(-1)).toEqual({ type: "time-passed" });
  });
});
