import { describe, expect, test } from "vitest";
import { declared, runOf, scriptedHost } from "../world/scripted-host.ts";

describe("a submitted task", () => {
  test("is journalled before it is posted, and posted under the id that it was given", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId, answer } = anna.submit("portrait", { front: true, extraData: { a: 1 } });
    expect(answer).toMatchObject({ ok: { status: "submitting", promptId: undefined } });
    const order = host.effects.flatMap((effect) =>
      effect.do === "write-journal"
        ? ["journal"]
        : effect.do === "request" && effect.path === "/prompt"
          ? ["post"]
          : [],
    );
    expect(order).toEqual(["journal", "post"]);
    expect(JSON.parse(host.pending("/prompt")[0]?.body ?? "")).toMatchObject({
      prompt: { "1": {} },
      prompt_id: promptId,
      client_id: host.coordinator.servers.values().next().value?.clientId,
      front: true,
      extra_data: { a: 1 },
    });
  });

  test("is looked for where its answer names the prompt of another task, which keeps its messages", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna"), host.tab("ben")];
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    ben.submit("bird");
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    host.say(...runOf(promptId));
    expect(anna.heard().at(-1)).toBe("succeeded");
    expect(ben.heard()).toEqual(["warning"]);
  });

  test("waits for a server that can be reached, and says why", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.closeSocket();
    host.reply("/prompt", { failure: "network" });
    const { taskId } = anna.submit("portrait");
    expect(anna.taskEvents(taskId)).toMatchObject([{ type: "warning", code: "waiting" }]);
    host.pass(1000);
    host.openSocket();
    expect(host.pending("/prompt")).toHaveLength(1);
  });

  test("that is submitted twice under one id runs once", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    anna.submit("portrait");
    expect(anna.submit("portrait").answer).toMatchObject({ ok: { taskId: "task-portrait" } });
    expect(host.pending("/prompt")).toHaveLength(1);
  });

  test("cannot take another tab's task id or prompt id", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    const ben = host.tab("ben");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    expect(ben.submit("portrait").answer).toMatchObject({ error: { code: "invalid-option" } });
    expect(ben.submit("other", { promptId }).answer).toMatchObject({ error: { code: "invalid-option" } });
    expect(host.pending("/prompt")).toHaveLength(1);
  });

  test("that the server refuses fails with the server's own words", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    anna.submit("portrait");
    const error = {
      type: "prompt_outputs_failed_validation",
      message: "Prompt outputs failed validation",
      details: "",
      extra_info: {},
    };
    const node = {
      errors: [{ type: "value_not_in_list", message: "Value not in list", details: "x", extra_info: {} }],
      dependent_outputs: ["9"],
      class_type: "KSampler",
    };
    host.reply("/prompt", { status: 400, text: JSON.stringify({ error, node_errors: { "3": node } }) });
    expect(anna.taskEvents().at(-1)).toMatchObject({
      type: "failed",
      error: {
        code: "workflow-rejected",
        details: {
          error: { type: "prompt_outputs_failed_validation" },
          nodeErrors: { "3": { classType: "KSampler" } },
        },
      },
    });
  });

  test("of which some outputs are refused is accepted with a warning", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    const node = { errors: [], dependent_outputs: ["9"], class_type: "SaveImage" };
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: { "9": node } });
    expect(anna.taskEvents()).toMatchObject([{ type: "accepted" }, { code: "outputs-rejected" }]);
  });
});

describe("a POST without a clear answer", () => {
  test.each([
    ["is lost", { failure: "network" }],
    ["does not come in time", { failure: "timeout" }],
    ["is a 500, behind which the prompt may be queued", { status: 500, text: "500 Internal Server Error" }],
  ] as const)("that %s is looked up, not repeated", (_, answer) => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", answer);
    host.pass(600);
    expect(host.pending("/prompt")).toEqual([]);
    host.reply("/queue", { queue_running: [[1, promptId, {}, {}, []]], queue_pending: [] });
    expect(anna.heard()).toEqual(["warning", "accepted", "started"]);
    host.say(...runOf(promptId).slice(1));
    host.reply(`/history/${promptId}`, {
      [promptId]: {
        prompt: [],
        outputs: {},
        status: { status_str: "success", completed: true, messages: [] },
      },
    });
    expect(anna.heard().at(-1)).toBe("succeeded");
  });

  test("is sent once more, under the same id, after a minute of look-ups that said no, and never again", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", { failure: "network" });
    const nobodyKnows = (): void => {
      host.pass(1000);
      if (host.pending("/queue").length) host.reply("/queue", { queue_running: [], queue_pending: [] });
      if (host.pending(/^\/history/).length) host.reply(/^\/history/, {});
    };
    while (host.now < 59_000) nobodyKnows();
    expect(host.pending("/prompt")).toEqual([]);
    while (host.now < 70_000) nobodyKnows();
    expect(JSON.parse(host.pending("/prompt")[0]?.body ?? "")).toMatchObject({ prompt_id: promptId });
    host.reply("/prompt", { failure: "network" });
    while (host.now < 200_000) nobodyKnows();
    expect(host.pending("/prompt")).toEqual([]);
    expect(anna.taskEvents().at(-1)).toMatchObject({ type: "failed", error: { code: "server-unreachable" } });
  });

  test("is not sent again where the queue has it by then, while the journal is told of that", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    host.reply("/prompt", { failure: "network" });
    const stage = () => host.coordinator.tasks.get(taskId)?.stage.at;
    while (stage() === "unsure" && host.now < 90_000) {
      host.pass(1_000);
      if (host.now > 59_000) host.holdJournal();
      if (host.pending("/queue").length) host.reply("/queue", { queue_running: [], queue_pending: [] });
      if (host.pending(/^\/history/).length) host.reply(/^\/history/, {});
    }
    expect(stage()).toBe("committing");
    host.pass(1_000);
    host.reply("/queue", { queue_running: [], queue_pending: [[1, promptId, {}, {}, []]] });
    host.releaseJournal();
    expect([stage(), host.pending("/prompt").filter(({ method }) => method === "POST")]).toEqual([
      "queued",
      [],
    ]);
  });

  test("is not sent again on the word of look-ups from before the computer slept", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    anna.submit("portrait");
    host.reply("/prompt", { failure: "network" });
    for (let look = 0; look < 2; look += 1) {
      host.pass(2_000);
      host.reply("/queue", { queue_running: [], queue_pending: [] });
      if (look === 1) host.now += 3_600_000;
      host.reply(/^\/history/, {});
    }
    for (const wokeAt = host.now; host.now < wokeAt + 50_000; ) {
      expect(host.pending("/prompt")).toEqual([]);
      host.pass(2_000);
      host.reply("/queue", { queue_running: [], queue_pending: [] });
      host.reply(/^\/history/, {});
    }
  });

  test("is looked after although a frame was faster: the socket may say no more", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.say({ type: "execution_start", promptId });
    host.reply("/prompt", { failure: "network" });
    host.pass(6_000);
    expect(host.pending("/queue")).toHaveLength(1);
  });

  test("is settled by the frames of its run", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", { failure: "network" });
    host.say({ type: "execution_start", promptId });
    expect(anna.heard()).toEqual(["warning", "accepted", "started"]);
  });
});

describe("several servers", () => {
  const [quick, busy] = [declared("http://quick.test"), declared("http://busy.test")];

  test("share tasks by how busy they are", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [busy, quick] });
    host.openSocket(busy, 5);
    host.openSocket(quick, 1);
    anna.submit("portrait");
    expect(host.pending("/prompt").map(({ server }) => server)).toEqual([quick.key]);
  });

  test("get what was meant for them, busy or not", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [busy, quick] });
    host.openSocket(busy, 5);
    host.openSocket(quick, 0);
    anna.submit("portrait", { server: busy.id });
    expect(host.pending("/prompt").map(({ server }) => server)).toEqual([busy.key]);
  });

  test("that a tab does not name are not its own", () => {
    const host = scriptedHost();
    host.tab("anna", { servers: [busy] });
    const ben = host.tab("ben", { servers: [quick] });
    expect(ben.submit("portrait", { server: busy.id }).answer).toMatchObject({
      error: { code: "not-found" },
    });
    expect(ben.call({ method: "clientId", serverId: busy.id }).answer).toMatchObject({
      error: { code: "not-found" },
    });
  });

  test("have the client id that a page was told before it named one", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [] });
    const { answer } = anna.call({ method: "clientId", serverId: "" });
    const ben = host.tab("ben", { servers: [busy, quick] });
    expect(ben.call({ method: "clientId", serverId: busy.id }).answer).toEqual(answer);
    expect(ben.call({ method: "clientId", serverId: quick.id }).answer).not.toEqual(answer);
    expect(anna.call({ method: "clientId", serverId: "" }).answer).toEqual(answer);
  });
});
