import { describe, expect, test } from "vitest";
import { comfy, historyOf, runOf, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";

const failure = {
  nodeId: "3",
  nodeType: "ProtoError",
  exceptionType: "RuntimeError",
  exceptionMessage: "boom\n",
  traceback: ["File …"],
  executed: ["1"],
};

interface Setting {
  host: ScriptedHost;
  anna: ReturnType<ScriptedHost["tab"]>;
  promptId: string;
  taskId: string;
}

function queued(): Setting {
  const host = scriptedHost();
  const anna = host.tab("anna");
  host.openSocket();
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
  return { host, anna, promptId, taskId };
}

function started(): Setting {
  const setting = queued();
  setting.host.say({ type: "execution_start", promptId: setting.promptId });
  return setting;
}

const over = (promptId: string) => ({ type: "executing", promptId, nodeId: null }) as const;
const history = (promptId: string, status: object, outputs: object = {}) => ({
  [promptId]: { prompt: [1, promptId, {}, {}, []], outputs, status, meta: {} },
});

const length = (queueRemaining: number) => ({ type: "status", queueRemaining }) as const;
const queue = (running: string[]) => ({
  queue_running: running.map((id) => [1, id, {}, {}, []]),
  queue_pending: [],
});

/** After a while, each look-up that is asked finds nothing in the queue, and this in the history. */
function lookUp({ host }: Pick<Setting, "host">, found: object = {}): void {
  host.pass(20_000);
  while (host.pending("/queue").length > 0) host.reply("/queue", queue([]));
  while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, found);
}

describe("an ending", () => {
  test("is not told by execution_success alone: other outputs and the history may still come", () => {
    const { host, anna, promptId } = started();
    host.say({ type: "execution_success", promptId });
    expect(anna.heard()).toEqual(["accepted", "started"]);
    host.say(over(promptId));
    expect(anna.heard().at(-1)).toBe("succeeded");
  });

  test("needs no look-up on a socket that has been unbroken since before the POST", () => {
    const { host, anna, promptId } = started();
    host.say(...runOf(promptId).slice(1));
    expect(anna.heard().at(-1)).toBe("succeeded");
    expect(host.pending(/history|queue/)).toEqual([]);
  });

  test("is read from the history where an old server's own id was answered after its frames had been dropped", () => {
    const host = scriptedHost();
    host.tab("anna").submit("portrait");
    host.openSocket();
    host.say(...runOf("its-own").slice(0, 4));
    host.now += 60_000;
    host.say(...runOf("its-own").slice(4));
    host.reply("/prompt", { prompt_id: "its-own", number: 1, node_errors: {} });
    expect(host.pending("/history/its-own")).toHaveLength(1);
  });

  test("carries the outputs of all nodes, with addresses at the server that ran them", () => {
    const { host, anna, promptId } = started();
    host.say(
      {
        type: "executed",
        promptId,
        nodeId: "8",
        displayNodeId: "8",
        output: { images: [{ filename: "ä&.png", subfolder: "x/y", type: "temp" }] },
      },
      { type: "executed", promptId, nodeId: "9", displayNodeId: "9", output: { text: ["hi"] } },
      { type: "execution_success", promptId },
      over(promptId),
    );
    expect(anna.taskEvents().at(-1)).toMatchObject({
      type: "succeeded",
      result: {
        promptId,
        serverId: "http://comfy.test",
        outputs: { "8": {}, "9": { text: ["hi"] } },
        files: [
          {
            nodeId: "8",
            kind: "image",
            url: "http://comfy.test/view?filename=%C3%A4%26.png&subfolder=x%2Fy&type=temp",
          },
        ],
      },
    });
  });

  test("that failed keeps the node, the exception and the traceback", () => {
    const { host, anna, promptId } = started();
    host.say({ type: "execution_error", promptId, blocked: false, failure, timestamp: 1 }, over(promptId));
    expect(anna.taskEvents().at(-1)).toMatchObject({
      type: "failed",
      error: {
        code: "node-failed",
        message: "Node 3 (ProtoError) failed: boom",
        details: { nodeId: "3", traceback: ["File …"] },
      },
    });
  });

  test("is not a blocked node: that is a warning, and the run goes on", () => {
    const { host, anna, promptId } = started();
    host.say({
      type: "execution_error",
      promptId,
      blocked: true,
      failure: { ...failure, exceptionType: "ExecutionBlocked" },
    });
    host.say(...runOf(promptId).slice(1));
    expect(anna.heard()).toEqual(["accepted", "started", "warning", "node", "output", "succeeded"]);
    expect(anna.taskEvents()[2]).toMatchObject({ code: "node-blocked", nodeId: "3" });
  });

  test("by somebody else's interrupt is `cancelled` by other", () => {
    const { host, anna, promptId } = started();
    host.say({ type: "execution_interrupted", promptId, executed: [] }, over(promptId));
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "cancelled", by: "other" });
  });

  test("is told once, whatever comes later", () => {
    const { host, anna, promptId } = started();
    host.say(...runOf(promptId).slice(1));
    const told = anna.heard().length;
    host.say({ type: "execution_interrupted", promptId, executed: [] }, ...runOf(promptId));
    expect(anna.heard()).toHaveLength(told);
    expect(host.coordinator.twins.seen).toBe(1);
  });

  test("is told when the journal has it, not before", () => {
    const { host, anna, promptId } = started();
    host.say(...runOf(promptId).slice(1));
    const writes = host.effects.flatMap((effect) => (effect.do === "write-journal" ? [effect.entry] : []));
    const ending = writes.at(-1)?.events.at(-1);
    expect(ending).toEqual(anna.taskEvents().at(-1));
  });

  test("that a look-up finds before the frames come is left to them, for they tell more", () => {
    const { host, anna, promptId, taskId } = queued();
    const found = historyOf(promptId, { "2": { text: ["1"] } });
    host.pass(10_000);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    host.reply(`/history/${promptId}`, found);
    expect(anna.heard(taskId)).toEqual(["accepted"]);
    host.say(...runOf(promptId));
    expect(anna.heard(taskId)).toEqual(["accepted", "started", "node", "output", "succeeded"]);
  });

  test("that a look-up finds is told a second later, where the socket that should tell it is deaf", () => {
    const { host, anna, promptId, taskId } = queued();
    const found = historyOf(promptId, { "2": { text: ["1"] } });
    host.pass(10_000);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    host.reply(`/history/${promptId}`, found);
    host.pass(1000);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    host.reply(`/history/${promptId}`, found);
    expect(anna.heard(taskId)).toEqual(["accepted", "output", "succeeded"]);
  });

  test("that a look-up finds is not waited for longer than ten seconds, however much the socket says", () => {
    const { host, anna, promptId, taskId } = queued();
    const found = historyOf(promptId, { "2": { text: ["1"] } });
    host.pass(10_000);
    let seconds = 0;
    while (!anna.heard(taskId).includes("succeeded")) {
      host.reply("/queue", { queue_running: [], queue_pending: [] });
      host.reply(`/history/${promptId}`, found);
      host.pass(500);
      host.say({ type: "status", queueRemaining: 1 });
      host.pass(500);
      seconds += 1;
    }
    expect(seconds).toBe(11);
  });

  test("that a look-up told first is no second run when its own frames come", () => {
    const { host, anna, promptId, taskId } = queued();
    host.pass(10_000);
    host.reply("/queue", { queue_running: [[1, promptId, {}, {}, []]], queue_pending: [] });
    expect(anna.heard(taskId)).toEqual(["accepted", "started"]);
    host.say(...runOf(promptId));
    expect(anna.heard(taskId)).toEqual(["accepted", "started", "node", "output", "succeeded"]);
    expect(host.coordinator.twins.seen).toBe(0);
    host.say(...runOf(promptId));
    expect(host.coordinator.twins.seen).toBe(1);
  });

  test("is read from the history when the socket broke on the way, and a failed read only delays it", () => {
    const { host, anna, promptId, taskId } = started();
    host.closeSocket();
    host.pass(1000);
    host.openSocket();
    host.pass(600);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    host.reply(`/history/${promptId}`, { failure: "network" });
    expect(anna.heard(taskId).at(-1)).toBe("gap");
    host.pass(6000);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    const messages = [
      [
        "execution_error",
        {
          prompt_id: promptId,
          node_id: "3",
          node_type: "ProtoError",
          executed: [],
          exception_message: "boom",
          exception_type: "RuntimeError",
          traceback: [],
          timestamp: 1,
        },
      ],
    ];
    host.reply(
      `/history/${promptId}`,
      history(promptId, { status_str: "error", completed: false, messages }),
    );
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "failed", error: { code: "node-failed" } });
  });

  test("with more outputs than are passed on live has them all in its result", () => {
    const { host, anna, promptId } = started();
    const socket = [...host.coordinator.sockets.keys()][0] as number;
    const big = (nodeId: string) =>
      ({ type: "executed", promptId, nodeId, displayNodeId: nodeId, output: { text: [nodeId] } }) as const;
    for (const nodeId of ["1", "2", "3"])
      host.take({ type: "message-received", socket, message: big(nodeId), bytes: 500_000 });
    host.say({ type: "execution_success", promptId }, over(promptId));
    expect(anna.heard()).toEqual(["accepted", "started", "output", "output", "warning"]);
    const outputs = { "1": { text: ["1"] }, "2": { text: ["2"] }, "3": { text: ["3"] } };
    host.reply(
      `/history/${promptId}`,
      history(promptId, { status_str: "success", completed: true, messages: [] }, outputs),
    );
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "succeeded", result: { outputs } });
  });
});

describe("a task that nobody knows any more", () => {
  test("is lost only when five clean look-ups agree and a cause was seen", () => {
    const { host, anna, promptId } = started();
    host.closeSocket();
    host.pass(1000);
    host.openSocket();
    for (const round of [1, 2, 3, 4, 5]) {
      expect(anna.heard().at(-1)).not.toBe("lost");
      host.pass(2500);
      host.reply("/queue", { queue_running: [], queue_pending: [] });
      host.reply(`/history/${promptId}`, {});
      expect(round).toBeLessThan(6);
    }
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "server-restarted" });
  });

  test("is lost also where the last answer that had it was on its way when the queue fell", () => {
    const { host, anna, promptId } = queued();
    host.say({ type: "status", queueRemaining: 2 });
    host.pass(10_000);
    host.say({ type: "status", queueRemaining: 1 });
    host.reply("/queue", { queue_running: [], queue_pending: [[1, promptId, {}, {}, []]] });
    for (const _ of [1, 2, 3, 4, 5]) {
      expect(anna.heard().at(-1)).not.toBe("lost");
      host.pass(2_500);
      host.reply("/queue", { queue_running: [], queue_pending: [] });
      host.reply(`/history/${promptId}`, {});
    }
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "removed" });
  });

  test("is lost also where the queue fell before the answer to its POST came", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket(comfy, 1);
    const { promptId } = anna.submit("portrait");
    for (const queueRemaining of [2, 1]) host.say({ type: "status", queueRemaining });
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    for (const _ of [1, 2, 3, 4, 5]) {
      expect(anna.heard().at(-1)).not.toBe("lost");
      host.pass(10_000);
      host.reply("/queue", { queue_running: [], queue_pending: [] });
      host.reply(`/history/${promptId}`, {});
    }
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "removed" });
  });

  test("is lost also while it runs under another host's client id: only the queue tells of its end", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket(comfy, 1);
    const registration = { taskId: "task-1", serverId: comfy.id, promptId: "theirs" };
    anna.call({ method: "register", registration });
    host.pass(1_000);
    host.reply("/queue", queue(["theirs"]));
    expect(anna.heard("task-1").at(-1)).toBe("started");
    host.say(length(0));
    for (let round = 0; round < 5; round += 1) lookUp({ host });
    expect(anna.taskEvents("task-1").at(-1)).toMatchObject({ type: "lost", reason: "removed" });
  });

  test("without a cause, on a socket that hears, stays open under a warning, and can be dismissed", () => {
    const setting = queued();
    const { host, anna, taskId } = setting;
    for (let round = 0; round < 10; round += 1) {
      expect(anna.heard()).toEqual(["accepted"]);
      lookUp(setting);
      host.say(length(1));
    }
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "warning", code: "not-one-server" });
    expect(anna.call({ method: "dismiss", taskId }).answer).toEqual({ ok: null });
  });

  test("without a cause, on a socket that has said nothing since, is lost: the cause was not heard", () => {
    const setting = queued();
    for (let round = 0; round < 10; round += 1) {
      expect(setting.anna.heard()).toEqual(["accepted"]);
      lookUp(setting);
    }
    expect(setting.anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "removed" });
  });

  test("was found before there was a socket again: what happened in between no socket has told", () => {
    const setting = queued();
    const { host, anna, promptId } = setting;
    host.closeSocket();
    host.pass(6_000);
    host.reply("/queue", queue([promptId]));
    host.openSocket();
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "server-restarted" });
  });

  test("is lost also where it was removed between the end of another and `executing{null}`", () => {
    const setting = queued();
    const { host, anna } = setting;
    host.say(length(1));
    const other = anna.submit("bird");
    host.reply("/prompt", { prompt_id: other.promptId, number: 2, node_errors: {} });
    host.say(length(2), { type: "execution_start", promptId: other.promptId });
    host.say({ type: "execution_success", promptId: other.promptId }, length(1), length(0));
    host.say(over(other.promptId));
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "removed" });
  });

  test("and comes back under another number is a late POST's, and no sign of several servers", () => {
    const setting = queued();
    const { host, anna, promptId } = setting;
    lookUp(setting);
    host.pass(6_000);
    host.reply("/queue", { queue_running: [[9, promptId, {}, {}, []]], queue_pending: [] });
    expect(anna.heard()).toEqual(["accepted", "started"]);
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(anna.heard().at(-1)).toBe("lost");
  });

  test.each([
    ["the queue falls", ({ host }: Setting) => host.say(length(3), length(1))],
    [
      "the socket breaks",
      ({ host }: Setting) => {
        host.closeSocket();
        host.pass(1_000);
        host.openSocket();
      },
    ],
  ])("and stood under that warning stays open also when %s afterwards", (_, happen) => {
    const setting = queued();
    for (let round = 0; round < 10; round += 1) {
      lookUp(setting);
      setting.host.say(length(0));
    }
    happen(setting);
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(setting.anna.heard()).not.toContain("lost");
    setting.host.say(...runOf(setting.promptId));
    lookUp(setting, historyOf(setting.promptId, {}));
    expect(setting.anna.heard().at(-1)).toBe("succeeded");
  });

  test("and then is known again shows that several servers share the address: none there is lost", () => {
    const setting = queued();
    const { host, anna, promptId } = setting;
    lookUp(setting);
    host.pass(6_000);
    host.reply("/queue", queue([promptId]));
    expect(anna.taskEvents().map((event) => "code" in event && event.code)).toContain("not-one-server");
    const other = anna.submit("bird");
    host.reply("/prompt", { prompt_id: other.promptId, number: 2, node_errors: {} });
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(anna.heard()).not.toContain("lost");
  });

  test("and is said to run by an answer that was asked for before, and came late, is no sign of several servers", () => {
    const { host, anna, promptId } = queued();
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    host.pass(600);
    expect(host.pending("/queue")).toHaveLength(1);
    host.pass(100);
    host.say(...runOf(promptId));
    host.reply(/^\/history/, {});
    host.reply("/queue", queue([promptId]));
    expect(anna.taskEvents().map((event) => "code" in event && event.code)).not.toContain("not-one-server");
    host.pass(3_000);
    host.reply("/queue", queue([]));
    host.reply(/^\/history/, historyOf(promptId, {}));
    expect(anna.heard().at(-1)).toBe("succeeded");
  });

  test("takes no place at its server: the others' tasks go out", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna"), host.tab("ben")];
    host.openSocket();
    for (const promptId of ["a", "b", "c", "d"])
      anna.call({ method: "register", registration: { taskId: promptId, serverId: comfy.id, promptId } });
    for (let round = 0; round < 4; round += 1) lookUp({ host });
    ben.submit("portrait");
    expect(host.pending("/prompt").filter(({ method }) => method === "POST")).toHaveLength(1);
  });

  test.each([
    ["failed", { type: "execution_error", blocked: false, failure }, { error: { code: "node-failed" } }],
    ["cancelled", { type: "execution_interrupted", executed: [] }, { by: "other" }],
    ["succeeded", { type: "execution_success" }, { result: { outputs: { "2": { text: ["2"] } } } }],
  ] as const)("but was heard to have %s has ended so", (type, message, details) => {
    const setting = started();
    const { host, anna, promptId } = setting;
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    const output = {
      type: "executed",
      promptId,
      nodeId: "2",
      displayNodeId: "2",
      output: { text: ["2"] },
    } as const;
    host.say(output, { ...message, promptId }, over(promptId));
    host.reply(/^\/history/, {});
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(anna.taskEvents().at(-1)).toMatchObject({ type, ...details });
    const codes = anna.taskEvents().map((event) => "code" in event && event.code);
    expect(codes.includes("outputs-dropped")).toBe(type === "succeeded");
  });

  test("and whose end was heard, but not which, is lost where somebody has cleared the history", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const registration = { taskId: "t", serverId: comfy.id, promptId: "own" };
    anna.call({ method: "register", registration });
    host.say(over("own"));
    for (let times = 1; times <= 20; times += 1) {
      host.say(length(0));
      host.pass(1_000);
      while (host.pending("/queue").length > 0) host.reply("/queue", queue([]));
      while (host.pending("/history/own").length > 0) host.reply("/history/own", {});
    }
    expect(anna.heard("t").at(-1)).toBe("lost");
  });

  test("is lost where its server died between execution_success and the end: no history was written", () => {
    const setting = started();
    const { host, anna, promptId } = setting;
    host.say({ type: "execution_success", promptId });
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    for (let round = 0; round < 5; round += 1) lookUp(setting);
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "lost", reason: "server-restarted" });
  });

  test.each([
    ["cannot be read", { status: 200, text: "<html>" }],
    ["is too long to be read", { failure: "network" }],
    ["has an item that cannot be read", queue([7 as never])],
  ] as const)("is found in the history where the queue %s, and never lost", (_, answer) => {
    const setting = started();
    const { host, anna, promptId } = setting;
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    const round = (found: object) => {
      host.pass(20_000);
      host.reply("/queue", answer);
      host.reply(/^\/history/, found);
    };
    for (let rounds = 0; rounds < 5; rounds += 1) round({});
    expect(anna.heard()).not.toContain("lost");
    round(historyOf(promptId, {}));
    expect(anna.heard().at(-1)).toBe("succeeded");
  });

  test("is never lost by look-ups that fail", () => {
    const { host, anna } = started();
    host.closeSocket();
    host.pass(1000);
    host.openSocket();
    for (let round = 0; round < 5; round += 1) {
      host.pass(10_000);
      host.reply("/queue", round % 2 ? { failure: "timeout" } : { status: 502, text: "<html>" });
    }
    expect(anna.heard()).toEqual(["accepted", "started", "gap"]);
  });

  test("is looked up whatever its id is made of, for a registered one is the app's own", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const registration = { taskId: "task-1", serverId: comfy.id, promptId: "a/\ud800" };
    anna.call({ method: "register", registration });
    host.pass(20_000);
    host.reply("/queue", { queue_running: [], queue_pending: [] });
    expect(host.pending(/history/)[0]?.path).toBe("/history/a%2F%EF%BF%BD");
  });
});

test("a task that runs and says nothing is stalled, also where others go on queueing up behind it", () => {
  const { host, anna, promptId, taskId } = started();
  for (let more = 1; more <= 10; more += 1) {
    host.pass(30_000);
    host.say(length(1 + more));
    while (host.pending("/queue").length > 0) host.reply("/queue", queue([promptId]));
    while (host.pending("/prompt").length > 0)
      host.reply("/prompt", { exec_info: { queue_remaining: 1 + more } });
  }
  expect(anna.taskEvents(taskId)).toContainEqual(expect.objectContaining({ code: "stalled" }));
  expect(anna.call({ method: "dismiss", taskId }).answer).toEqual({ ok: null });
});

test("a task whose server has gone for good is stalled, and can be dismissed; not so where it was away for a moment", () => {
  const { host, anna, promptId, taskId } = queued();
  const answer = (reply: object, ms: number) => {
    for (const until = host.now + ms; host.now < until; host.pass(5_000))
      while (host.pending("/queue").length > 0) host.reply("/queue", reply);
  };
  host.closeSocket();
  answer({ failure: "network" }, 170_000);
  answer({ queue_running: [], queue_pending: [[1, promptId, {}, {}, []]] }, 20_000);
  answer({ failure: "network" }, 170_000);
  expect(anna.heard(taskId)).not.toContain("warning");
  answer({ failure: "network" }, 20_000);
  expect(anna.taskEvents(taskId)).toContainEqual(expect.objectContaining({ code: "stalled" }));
  expect(anna.call({ method: "dismiss", taskId }).answer).toEqual({ ok: null });
});

test("a task that has had as many warnings as it may have is told all the same that it is stalled, and can be dismissed", () => {
  const { host, anna, promptId, taskId } = started();
  for (let node = 1; node <= 100; node += 1) {
    const blocked = { ...failure, nodeId: `${node}`, exceptionType: "ExecutionBlocked" };
    host.say({ type: "execution_error", promptId, blocked: true, failure: blocked });
  }
  for (let waited = 0; waited < 300; waited += 10) {
    host.pass(10_000);
    while (host.pending("/queue").length > 0) host.reply("/queue", queue([promptId]));
    while (host.pending("/prompt").length > 0) host.reply("/prompt", { exec_info: { queue_remaining: 0 } });
  }
  expect(anna.taskEvents(taskId)).toContainEqual(expect.objectContaining({ code: "stalled" }));
  expect(anna.call({ method: "dismiss", taskId }).answer).toEqual({ ok: null });
});
