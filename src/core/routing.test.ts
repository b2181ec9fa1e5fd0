import { describe, expect, test } from "vitest";
import {
  declared,
  historyOf,
  promptIdOf,
  runOf,
  type ScriptedHost,
  scriptedHost,
} from "../world/scripted-host.ts";

const accepted = (promptId: string) => ({ prompt_id: promptId, number: 1, node_errors: {} });

/** A host with two tabs, the socket open, and one accepted task of anna's. */
function annaRuns(): {
  host: ScriptedHost;
  anna: ReturnType<ScriptedHost["tab"]>;
  ben: ReturnType<ScriptedHost["tab"]>;
  portrait: string;
  taskId: string;
} {
  const host = scriptedHost();
  const anna = host.tab("anna");
  const ben = host.tab("ben");
  host.openSocket();
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", accepted(promptId));
  return { host, anna, ben, portrait: promptId, taskId };
}

describe("a message", () => {
  test("goes to the tab whose task it belongs to, and to no other", () => {
    const { host, anna, ben, portrait, taskId } = annaRuns();
    host.say(...runOf(portrait));
    expect(anna.heard(taskId)).toEqual(["accepted", "started", "node", "output", "succeeded"]);
    expect(ben.heard()).toEqual([]);
  });

  test("finds its task though it comes before the answer to the POST", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { taskId, promptId } = anna.submit("portrait");
    host.say(...runOf(promptId));
    expect(anna.heard(taskId).at(-1)).toBe("succeeded");
    host.reply("/prompt", accepted(promptId));
    expect(anna.heard(taskId).filter((type) => type === "succeeded")).toHaveLength(1);
  });

  test("of a prompt that nobody owns goes to nobody", () => {
    const { host, anna, ben } = annaRuns();
    const before = anna.heard().length;
    host.say(
      { type: "progress", promptId: "stranger", nodeId: "1", value: 1, max: 2 },
      { type: "progress_state", promptId: "stranger", nodes: [] },
      { type: "execution_interrupted", promptId: "stranger", executed: [] },
    );
    expect(anna.heard()).toHaveLength(before);
    expect(ben.heard()).toEqual([]);
  });

  test("without a prompt id belongs to the prompt that runs", () => {
    const { host, anna, portrait } = annaRuns();
    const image = new Uint8Array([0xff, 0xd8]);
    const preview = {
      type: "preview",
      promptId: undefined,
      nodeId: undefined,
      mime: "image/jpeg",
      image,
    } as const;
    host.say(preview, { type: "text", nodeId: "3", text: "too early" });
    host.say(
      { type: "execution_start", promptId: portrait },
      { type: "executing", promptId: portrait, nodeId: "7" },
    );
    host.say(preview, { type: "text", nodeId: "3", text: "in time" });
    expect(anna.heard()).toEqual(["accepted", "started", "node", "preview", "text"]);
    const [shown, text] = anna.taskEvents().slice(-2);
    expect(shown).toMatchObject({ type: "preview", nodeId: "7" });
    expect(text).toMatchObject({ text: "in time" });
  });

  test("without a prompt id belongs to nobody after the run, or on another socket", () => {
    const { host, anna, portrait } = annaRuns();
    const text = { type: "text", nodeId: "3", text: "a stranger's" } as const;
    host.say({ type: "execution_start", promptId: portrait });
    host.closeSocket();
    host.pass(1000);
    host.openSocket();
    host.say(text, { type: "executing", promptId: undefined, nodeId: "3" });
    host.say({ type: "executing", promptId: portrait, nodeId: null }, text);
    expect(anna.heard()).not.toContain("text");
  });

  test("of a custom type goes to the tabs that list it, and to no other", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", {
      servers: [declared("http://comfy.test", { broadcastTypes: ["monitor"] })],
    });
    const ben = host.tab("ben");
    host.openSocket();
    host.say(
      { type: "custom", name: "monitor", data: { cpu: 1 } },
      { type: "custom", name: "other", data: {} },
    );
    expect(anna.events.filter(({ kind }) => kind === "message")).toEqual([
      { kind: "message", number: 1, serverId: "http://comfy.test", type: "monitor", data: { cpu: 1 } },
    ]);
    expect(ben.events.filter(({ kind }) => kind === "message")).toEqual([]);
  });

  test("that cannot be read costs no ending: the history is read instead", () => {
    const { host, anna, portrait, taskId } = annaRuns();
    host.say({ type: "execution_start", promptId: portrait });
    host.say({ type: "malformed", reason: "truncated" });
    host.say(
      { type: "execution_success", promptId: portrait },
      { type: "executing", promptId: portrait, nodeId: null },
    );
    expect(anna.heard(taskId)).not.toContain("succeeded");
    host.reply(`/history/${portrait}`, historyOf(portrait, { "2": { text: ["whole"] } }));
    expect(anna.heard(taskId).slice(-2)).toEqual(["output", "succeeded"]);
  });
});

describe("a server below 0.3.45", () => {
  test("makes its own prompt id, and the messages that came before it was known are not lost", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { taskId } = anna.submit("portrait");
    const theirs = promptIdOf("theirs");
    host.say(...runOf(theirs));
    expect(anna.heard(taskId)).toEqual([]);
    host.reply("/prompt", accepted(theirs));
    expect(anna.heard(taskId)).toEqual(["accepted", "started", "node", "output", "succeeded"]);
    expect(anna.taskEvents(taskId)[0]).toMatchObject({ type: "accepted", promptId: theirs });
  });
});

describe("a prompt that the app posted itself", () => {
  test("is followed live from its first message on when it was registered in time", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const promptId = promptIdOf("own");
    const [start, ...rest] = runOf(promptId);
    host.say(start as never);
    anna.call({ method: "register", registration: { taskId: "t", serverId: "http://comfy.test", promptId } });
    host.say(...rest);
    expect(anna.heard("t")).toEqual(["accepted", "started", "node", "output", "succeeded"]);
  });

  test("is told the texts of its run, which name no prompt, though it was registered after them", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const promptId = promptIdOf("own");
    const text = { type: "text", nodeId: "3", text: "words" } as const;
    host.say(
      { ...text, text: "a stranger's" },
      { type: "execution_start", promptId },
      text,
      { type: "executing", promptId, nodeId: null },
      { ...text, text: "another's" },
    );
    anna.call({ method: "register", registration: { taskId: "t", serverId: "http://comfy.test", promptId } });
    expect(anna.taskEvents("t").filter(({ type }) => type === "text")).toMatchObject([{ text: "words" }]);
  });

  describe("and of which nobody knows", () => {
    function registered() {
      const host = scriptedHost();
      const anna = host.tab("anna");
      host.openSocket();
      const promptId = promptIdOf("own");
      anna.call({
        method: "register",
        registration: { taskId: "t", serverId: "http://comfy.test", promptId },
      });
      return { host, anna, promptId };
    }
    function nobodyKnows(host: ScriptedHost, ms: number): void {
      for (const until = host.now + ms; host.now < until; host.pass(500)) {
        host.say({ type: "status", queueRemaining: 0 });
        while (host.pending("/queue").length > 0)
          host.reply("/queue", { queue_running: [], queue_pending: [] });
        while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
        while (host.pending("/prompt").length > 0)
          host.reply("/prompt", { exec_info: { queue_remaining: 0 } });
      }
    }

    test("may be on its way for half a minute, and is lost then", () => {
      const { host, anna } = registered();
      nobodyKnows(host, 28_000);
      expect(anna.heard("t")).toEqual([]);
      nobodyKnows(host, 15_000);
      expect(anna.taskEvents("t").map(({ type }) => type)).toEqual(["lost"]);
    });

    test("is as patient where the server was restarted meanwhile", () => {
      const { host, anna, promptId } = registered();
      nobodyKnows(host, 1_000);
      host.closeSocket();
      host.pass(1_000);
      host.openSocket();
      nobodyKnows(host, 20_000);
      host.say(...runOf(promptId));
      expect(anna.heard("t")).toEqual(["accepted", "started", "node", "output"]);
      host.pass(1_000);
      for (const { path } of host.pending(/^\/history/)) host.reply(path, historyOf(promptId, {}));
      expect(anna.heard("t").at(-1)).toBe("succeeded");
    });

    test("is lost where only what its server tells everybody was heard, and the history was cleared at its end", () => {
      const host = scriptedHost();
      const anna = host.tab("anna");
      host.openSocket();
      const promptId = promptIdOf("own");
      const failure = {
        nodeId: "4",
        nodeType: "ProtoBlock",
        exceptionType: "ExecutionBlocked",
        exceptionMessage: "no picture",
        traceback: [],
        executed: [],
      };
      host.say({ type: "execution_error", promptId, blocked: true, failure });
      anna.call({
        method: "register",
        registration: { taskId: "t", serverId: "http://comfy.test", promptId },
      });
      expect(anna.heard("t")).toContain("accepted");
      nobodyKnows(host, 20_000);
      expect(anna.heard("t").at(-1)).toBe("lost");
    });

    test("is lost where a server died that was heard of it before it was registered", () => {
      const host = scriptedHost();
      const anna = host.tab("anna");
      host.openSocket();
      const promptId = promptIdOf("own");
      host.say(runOf(promptId)[0] as never);
      host.closeSocket();
      anna.call({
        method: "register",
        registration: { taskId: "t", serverId: "http://comfy.test", promptId },
      });
      host.pass(1_000);
      host.openSocket();
      nobodyKnows(host, 15_000);
      expect(anna.heard("t").at(-1)).toBe("lost");
    });
  });

  test("is the tab's when the journal has it, and its other call for the same waits for that, too", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.holdJournal();
    const registration = { taskId: "t", serverId: "http://comfy.test", promptId: promptIdOf("own") };
    const calls = [registration, { ...registration, taskId: "u" }].map((one) =>
      anna.call({ method: "register", registration: one }),
    );
    expect(calls.map(({ answer }) => answer)).toEqual([undefined, undefined]);
    host.releaseJournal();
    const promised = { ok: { taskId: "t", status: "queued" } };
    expect(calls.map(({ answer }) => answer)).toMatchObject([promised, promised]);
  });

  test("ends by a look-up when it was registered late", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const promptId = promptIdOf("own");
    anna.call({ method: "register", registration: { taskId: "t", serverId: "http://comfy.test", promptId } });
    host.pass(10);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    host.reply(
      `/history/${promptId}`,
      historyOf(promptId, { "9": { images: [{ filename: "a b.png", subfolder: "", type: "output" }] } }),
    );
    expect(anna.heard("t")).toEqual(["accepted", "output", "succeeded"]);
    expect(anna.taskEvents("t").at(-1)).toMatchObject({
      result: {
        files: [
          { filename: "a b.png", url: "http://comfy.test/view?filename=a%20b.png&subfolder=&type=output" },
        ],
      },
    });
  });

  test("of another tab is not found under another account either", () => {
    const { host, portrait } = annaRuns();
    const own = declared("http://comfy.test", { key: "http://comfy.test carl" as never });
    const carl = host.tab("carl", { servers: [own] });
    const registration = { taskId: "c", serverId: own.id, promptId: portrait };
    expect(carl.call({ method: "register", registration }).answer).toMatchObject({
      error: { code: "not-found" },
    });
  });

  test("of another tab is not found, as if it had never been", () => {
    const { host, ben, portrait } = annaRuns();
    const registration = { taskId: "b", serverId: "http://comfy.test", promptId: portrait };
    const stolen = ben.call({ method: "register", registration });
    expect(stolen.answer).toMatchObject({ error: { code: "not-found" } });
    host.say(...runOf(portrait));
    expect(ben.heard()).toEqual([]);
  });
});
