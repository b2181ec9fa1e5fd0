import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { OutputFile } from "../protocol/tasks.ts";
import type { Session } from "./api.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { scriptedRealm } from "./testing/scripted.ts";
import { countedSignal } from "./testing/signal.ts";
import { codeOf, isAt, remembered, workflow } from "./testing/task.ts";

const main = "http://comfy.test";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
});

describe("submit", () => {
  test("makes a task that tells the rest by events", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const session = await page.connect();
    const task = await session.submit(workflow, { front: true, extraData: { a: [1, null] }, label: "mine" });
    expect([session.tasks(), session.task(task.id), task.label]).toEqual([[task], task, "mine"]);
    expect(remembered(page.storage)).toMatchObject([{ taskId: task.id, label: "mine" }]);
    await isAt(task, "queued");
    expect([task.promptId, task.serverId]).toEqual([comfy.prompts[0]?.promptId, main]);
    expect(task.promptId).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(comfy.prompts[0]?.body).toMatchObject({ front: true, extra_data: { a: [1, null] } });
    comfy.start(task.promptId ?? "");
    comfy.finish(task.promptId ?? "");
    expect(await task.result()).toMatchObject({ taskId: task.id, serverId: main, files: [] });
    expect(remembered(page.storage)).toEqual([]);
  });

  test("of hundreds remembers all of them, and does not write all down for each", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const setItem = vi.spyOn(page.storage, "setItem");
    const tasks = await Promise.all(Array.from({ length: 300 }, () => session.submit(workflow)));
    await expect.poll(() => remembered(page.storage)).toHaveLength(300);
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(300);
    expect(setItem.mock.calls.length).toBeLessThan(250);
  });

  test.each<[string, unknown, object, string]>([
    ["a number that JSON lacks", { "1": { class_type: "A", inputs: { a: NaN } } }, {}, "workflow-invalid"],
    ["extra data with a number that JSON lacks", workflow, { extraData: { a: Infinity } }, "invalid-option"],
    ["extra data with undefined in a list", workflow, { extraData: { a: [undefined] } }, "invalid-option"],
    ["extra data with a function", workflow, { extraData: { a: () => {} } }, "invalid-option"],
    ["a signal that is no signal", workflow, { signal: {} }, "invalid-option"],
    ["an aborted signal", workflow, { signal: AbortSignal.abort() }, "aborted"],
  ])("refuses %s before anything is sent or remembered", async (_, graph, options, code) => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const page = browser.openPage();
    const session = await page.connect();
    expect(await codeOf(session.submit(graph as never, options))).toBe(code);
    expect(host.calls.map(({ method }) => method)).toEqual(["hello"]);
    expect([session.tasks(), remembered(page.storage)]).toEqual([[], []]);
  });

  test.each<[string, unknown, object, string]>([
    ["a huge workflow", { "1": { class_type: "A", inputs: { a: "x".repeat(17 << 20) } } }, {}, "too-large"],
    ["an unknown server", workflow, { server: "http://nowhere.test" }, "not-found"],
    ["an empty label", workflow, { label: "" }, "invalid-option"],
    ["a label that is no text", workflow, { label: 1 }, "invalid-option"],
    ["an unknown affinity", workflow, { affinity: "server" }, "invalid-option"],
    ["a front that is no flag", workflow, { front: "yes" }, "invalid-option"],
    ["extra data that are no object", workflow, { extraData: [1] }, "invalid-option"],
    ["extra data that are null", workflow, { extraData: null }, "invalid-option"],
    ["huge extra data", workflow, { extraData: { a: "x".repeat(1 << 20) } }, "too-large"],
  ])(
    "has the host refuse %s before a server hears of it, and forgets it",
    async (_, graph, options, code) => {
      const page = browser.openPage();
      const session = await page.connect();
      expect(await codeOf(session.submit(graph as never, options))).toBe(code);
      expect([session.tasks(), remembered(page.storage), browser.comfy.prompts]).toEqual([[], [], []]);
    },
  );

  test.each([
    ["one of the editor's", { nodes: [], links: [] }, "workflow-format", "nodes"],
    ["text that nobody has parsed", '{"1":{}}', "workflow-format", ""],
    ["none at all", undefined, "workflow-format", ""],
    ["null", null, "workflow-format", ""],
    ["a node that is null", { "1": null }, "workflow-format", "1"],
    [
      "a link to nowhere",
      { "1": { class_type: "A", inputs: { a: ["2", 0] } } },
      "workflow-invalid",
      "1.inputs.a",
    ],
  ])(
    "has the host refuse a workflow that no server may get, and forgets it: %s",
    async (_, graph, code, path) => {
      const page = browser.openPage();
      const session = await page.connect();
      await expect(session.submit(graph as never)).rejects.toMatchObject({ code, details: { path } });
      expect([session.tasks(), remembered(page.storage), browser.comfy.prompts]).toEqual([[], [], []]);
    },
  );

  test("says where a workflow holds what JSON does not", async () => {
    const session = await browser.openPage().connect();
    const graph = { "1": { class_type: "A", inputs: { a: [1, () => {}] } } };
    await expect(session.submit(graph)).rejects.toMatchObject({ details: { path: "1.inputs.a.1" } });
  });

  test.each<[string, (session: Session) => Promise<unknown>]>([
    ["a long label", (session) => session.submit(workflow, { label: "x".repeat(501) })],
    ["no label", (session) => session.submit(workflow, { label: "" })],
    ["a label that is no text", (session) => session.submit(workflow, { label: 1 as never })],
    ["a prompt without an id", (session) => session.register({ serverId: main, promptId: "" })],
    ["a prompt at no server", (session) => session.register({ serverId: 1 as never, promptId: "prompt-1" })],
  ])("that is refused for %s leaves nothing which a host would refuse after a reload", async (_, ask) => {
    const page = browser.openPage();
    const refused = codeOf(ask(await page.connect()));
    page.fire("pagehide", false);
    page.crash();
    expect(await codeOf(browser.openPage(page.storage).connect())).toBe("resolved");
    await Promise.race([refused, Promise.resolve()]);
  });

  test("refuses extra data that contain themselves, and takes undefined fields for absent ones", async () => {
    const session = await browser.openPage().connect();
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    expect(await codeOf(session.submit(workflow, { extraData: cyclic }))).toBe("invalid-option");
    await session.submit(workflow, { extraData: { absent: undefined } });
    await expect.poll(() => browser.comfy.prompts.length).toBe(1);
  });

  test.each<[string, object, number | undefined]>([
    ["the session's, if it says nothing", {}, 60_000],
    [
      "the session's, if it is undefined, as an option that is passed on may be",
      { whenTabGone: undefined },
      60_000,
    ],
    ["the task's own, if it has one", { whenTabGone: "keep" }, undefined],
  ])("takes for what is to become of the task without its tab %s", async (_, options, cancelAfterMs) => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect({ whenTabGone: { cancelAfterMs: 60_000 } });
    void session.submit(workflow, options).catch(() => {});
    const submitted = () => host.calls.find(({ method }) => method === "submit")?.args[0];
    await expect.poll(submitted).toBeDefined();
    expect(JSON.parse(submitted() ?? "").cancelAfterMs).toBe(cancelAfterMs);
  });

  test("of a page that closes its last session makes a task whose tab is gone", async () => {
    const page = browser.openPage();
    const session = await page.connect({ whenTabGone: { cancelAfterMs: 20 } });
    const { id } = await session.submit(workflow);
    await isAt(session.task(id), "queued");
    await session.close();
    await expect.poll(() => browser.comfy.requests.some((one) => one.endsWith("/cancel"))).toBe(true);
    expect((await page.connect()).task(id)?.status).toBe("cancelled");
  });

  test("that the host refuses leaves nothing to be adopted later", async () => {
    const error = { code: "too-large", message: "No.", details: {} };
    const host = scriptedRealm({ submit: () => ({ error }), register: () => ({ error }) });
    browser.workersAre(() => host.realm);
    const page = browser.openPage();
    const session = await page.connect();
    expect(await codeOf(session.submit(workflow))).toBe("too-large");
    expect(await codeOf(session.register({ serverId: main, promptId: "prompt-1" }))).toBe("too-large");
    expect(remembered(page.storage)).toEqual([]);
  });

  test("that is not answered is remembered, for the host may have the task", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const host = scriptedRealm({ submit: () => undefined });
    browser.workersAre(() => host.realm);
    const page = browser.openPage();
    const session = await page.connect();
    const outcome = codeOf(session.submit(workflow));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await outcome).toBe("timeout");
    expect(remembered(page.storage)).toHaveLength(1);
    const again = codeOf(session.submit(workflow));
    await session.close();
    expect(await again).toBe("closed");
    expect(remembered(page.storage)).toHaveLength(2);
  });

  test("that is aborted before its answer withdraws the task", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const { signal, abort, listening } = countedSignal();
    const outcome = codeOf(session.submit(workflow, { signal }));
    abort();
    expect(await outcome).toBe("aborted");
    await expect.poll(() => remembered(page.storage)).toEqual([]);
    expect(await session.diagnostics()).toMatchObject({ tasks: { open: 0, settled: 0 } });
    expect([session.tasks(), listening()]).toEqual([[], 0]);
  });

  test("has a signal that cancels the task later, and is let go of at its end", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect();
    const { signal, abort, listening } = countedSignal();
    const [ended, aborted] = [
      await session.submit(workflow, { signal }),
      await session.submit(workflow, { signal }),
    ];
    await Promise.all([isAt(ended, "queued"), isAt(aborted, "queued")]);
    comfy.start(ended.promptId ?? "");
    comfy.finish(ended.promptId ?? "");
    await ended.result();
    expect(listening()).toBe(1);
    abort();
    await expect(aborted.result()).rejects.toMatchObject({ code: "cancelled", details: { by: "owner" } });
    await expect.poll(listening).toBe(0);
  });
});

describe("register", () => {
  test("makes a prompt that the app POSTed itself a task, with live events", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect();
    const client_id = await session.clientId(main);
    const prompt_id = "00000000-0000-4000-8000-000000000001";
    await comfy.fetch(`${main}/prompt`, { method: "POST", body: JSON.stringify({ prompt_id, client_id }) });
    expect(comfy.sockets[0]?.url).toContain(client_id);
    const task = await session.register({ serverId: main, promptId: prompt_id, label: "by hand" });
    comfy.start(prompt_id);
    comfy.finish(prompt_id);
    expect(await task.result()).toMatchObject({ promptId: prompt_id });
    expect([task.promptId, task.serverId, task.label]).toEqual([prompt_id, main, "by hand"]);
  });

  test("twice gives the same task, and remembers one", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const prompt = { serverId: main, promptId: "00000000-0000-4000-8000-000000000001" };
    const [one, two] = await Promise.all([session.register(prompt), session.register(prompt)]);
    expect(one).toBe(two);
    expect(remembered(page.storage).map(({ taskId }) => taskId)).toEqual([one.id]);
  });

  test("again and again leaves nothing behind where there is no journal", async () => {
    browser.end();
    browser = createBrowser({ indexedDB: null });
    const page = browser.openPage();
    const session = await page.connect();
    for (let time = 0; time < 50; time += 1) await session.register({ serverId: main, promptId: "mine" });
    expect(remembered(page.storage)).toMatchObject([{ promptId: "mine", registered: true }]);
  });

  test("of another tab's prompt, or at an unknown server, is not found", async () => {
    const [anna, ben] = [await browser.openPage().connect(), await browser.openPage().connect()];
    const prompt = { serverId: main, promptId: "00000000-0000-4000-8000-000000000001" };
    await anna.register(prompt);
    expect(await codeOf(ben.register(prompt))).toBe("not-found");
    expect(await codeOf(anna.register({ ...prompt, serverId: "nowhere" }))).toBe("not-found");
    expect(await codeOf(anna.register({ ...prompt, promptId: "" }))).toBe("invalid-option");
    expect(await codeOf(anna.clientId("nowhere"))).toBe("not-found");
  });
});

describe("a session's listener", () => {
  test("hears of servers and queues until it ends, by itself or with its handle", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const [one, two] = [await page.connect(), await page.connect()];
    await expect.poll(() => one.servers()[0]?.connection).toBe("open");
    const heard: [string, number][] = [];
    const same = ({ queueRemaining }: { queueRemaining: number }) => heard.push(["same", queueRemaining]);
    const end = one.on("queue", same);
    two.on("queue", same);
    const queue = (queue_remaining: number) =>
      comfy.say("status", { status: { exec_info: { queue_remaining } } });
    queue(3);
    await expect
      .poll(() => heard)
      .toEqual([
        ["same", 3],
        ["same", 3],
      ]);
    end();
    queue(4);
    await expect.poll(() => heard.length).toBe(3);
    await two.close();
    queue(5);
    await expect.poll(() => one.servers()[0]?.queueRemaining).toBe(5);
    expect(heard).toHaveLength(3);
  });

  test("hears custom messages of the types that it asked for, as the server sent them", async () => {
    const { comfy } = browser;
    const session = await browser
      .openPage()
      .connect({ servers: [{ url: main, id: "main", broadcastTypes: ["crystools.monitor"] }] });
    await expect.poll(() => session.servers()[0]?.connection).toBe("open");
    const heard: unknown[] = [];
    session.on("message", (message) => heard.push(message));
    comfy.say("crystools.monitor", { gpus: [{ load: 7 }] });
    comfy.say("other", {});
    await expect
      .poll(() => heard)
      .toEqual([{ serverId: "main", type: "crystools.monitor", data: { gpus: [{ load: 7 }] } }]);
  });
});

const file: OutputFile = {
  filename: "a",
  subfolder: "",
  type: "output",
  serverId: main,
  url: `${main}/view?`,
  nodeId: "1",
  kind: "image",
};

test("each call refuses a signal that is no signal, such as its controller", async () => {
  const { comfy } = browser;
  const session = await browser.openPage().connect();
  const task = await session.submit(workflow);
  const options = { signal: new AbortController() as never };
  const calls = [
    session.submit(workflow, options),
    session.upload(new Blob(), options),
    session.fetchFile(file, options),
    session.lockServer("nowhere", options),
    task.result(options),
  ];
  expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => "invalid-option"));
  expect(comfy.requests.filter((one) => /upload|view/.test(one))).toEqual([]);
});

test("each call refuses what JSON cannot say: a BigInt, or an object that contains itself", async () => {
  const { comfy } = browser;
  const page = browser.openPage();
  const session = await page.connect();
  const itself: { itself?: unknown } = {};
  itself.itself = itself;
  for (const value of [1n, itself] as never[]) {
    const calls = [
      page.connect({ servers: [{ url: main, weight: value }] }),
      page.connect({ servers: [{ url: main, depth: value }] }),
      page.connect({ servers: [{ url: main, auth: value }] }),
      session.setAuth(main, { type: "bearer", token: value }),
      session.submit(workflow, { server: value }),
      session.upload(new Blob(), { subfolder: value }),
      session.fetchFile({ ...file, serverId: value }),
      session.lockServer(main, { steal: value }),
    ];
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => "invalid-option"));
  }
  expect(comfy.requests.filter((one) => /upload|view|prompt/.test(one))).toEqual([]);
});
