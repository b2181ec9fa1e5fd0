import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { identityKey } from "../protocol/names.ts";
import type { OutputFile } from "../protocol/tasks.ts";
import type { Task } from "./api.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { json } from "./testing/comfy.ts";
import { scriptedRealm } from "./testing/scripted.ts";
import { countedSignal } from "./testing/signal.ts";

const workflow = { "1": { class_type: "SaveImage", inputs: {} } };
const main = "http://comfy.test";
const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "resolved",
    ({ code }) => code,
  );

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
});

const remembered = (storage: Storage): { taskId: string }[] =>
  JSON.parse(storage.getItem(identityKey("comfy-tabs")) ?? "{}").tasks;
const isAt = (task: Task, status: Task["status"]) => expect.poll(() => task.status).toBe(status);

async function running(): Promise<{ task: Task; promptId: string; finish(): void; fail(): void }> {
  const { comfy } = browser;
  const session = await browser.openPage().connect();
  const task = await session.submit(workflow);
  await isAt(task, "queued");
  const promptId = task.promptId ?? "";
  comfy.start(promptId);
  await isAt(task, "running");
  return { task, promptId, finish: () => comfy.finish(promptId), fail: () => comfy.fail(promptId) };
}

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

  test.each<[string, unknown, object, string]>([
    ["a number that JSON lacks", { "1": { class_type: "A", inputs: { a: NaN } } }, {}, "workflow-invalid"],
    ["a huge workflow", { "1": { class_type: "A", inputs: { a: "x".repeat(17 << 20) } } }, {}, "too-large"],
    ["an unknown server", workflow, { server: "http://nowhere.test" }, "not-found"],
    ["an empty label", workflow, { label: "" }, "invalid-option"],
    ["a label that is no text", workflow, { label: 1 }, "invalid-option"],
    ["a front that is no flag", workflow, { front: "yes" }, "invalid-option"],
    ["extra data that are no object", workflow, { extraData: [1] }, "invalid-option"],
    ["extra data with a number that JSON lacks", workflow, { extraData: { a: Infinity } }, "invalid-option"],
    ["extra data with undefined in a list", workflow, { extraData: { a: [undefined] } }, "invalid-option"],
    ["extra data with a function", workflow, { extraData: { a: () => {} } }, "invalid-option"],
    ["huge extra data", workflow, { extraData: { a: "x".repeat(1 << 20) } }, "too-large"],
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

  test("refuses extra data that contain themselves, and takes undefined fields for absent ones", async () => {
    const session = await browser.openPage().connect();
    const cyclic: { self?: unknown } = {};
    cyclic.self = cyclic;
    expect(await codeOf(session.submit(workflow, { extraData: cyclic }))).toBe("invalid-option");
    await session.submit(workflow, { extraData: { absent: undefined } });
    await expect.poll(() => browser.comfy.prompts.length).toBe(1);
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

describe("a task", () => {
  test("has the state of all that came before the answer of submit, though that tells an older one", async () => {
    const host = scriptedRealm({
      submit: (json) => {
        const { taskId, promptId } = JSON.parse(json as string);
        const event = { taskId, at: 0 };
        host.say([
          { kind: "task", event: { ...event, seq: 1, type: "accepted", serverId: main, promptId } },
          { kind: "task", event: { ...event, seq: 2, type: "started" } },
        ]);
        return { ok: { taskId, createdAt: 0, status: "submitting", seq: 0, events: [] } };
      },
    });
    browser.workersAre(() => host.realm);
    const task = await (await browser.openPage().connect()).submit(workflow);
    expect([task.status, task.serverId, task.promptId?.length]).toEqual(["running", main, 36]);
  });

  test("has its new state when the call that changed it resolves", async () => {
    const { task } = await running();
    const statuses: string[] = [];
    task.on("cancelled", () => statuses.push("heard"));
    expect(await task.cancel()).toBe(true);
    expect([task.status, statuses]).toEqual(["cancelled", ["heard"]]);
    expect(await task.cancel()).toBe(false);
  });

  test("that failed without anybody asking raises no unhandled rejection, and tells who asks later", async () => {
    const { task, fail } = await running();
    fail();
    await isAt(task, "failed");
    await new Promise((resolve) => setImmediate(resolve));
    for (let times = 0; times < 2; times += 1)
      await expect(task.result()).rejects.toMatchObject({
        code: "node-failed",
        details: { nodeId: "1", nodeType: "KSampler" },
      });
  });

  test("has a result for everybody who waits, but not for who has aborted", async () => {
    const { task, finish } = await running();
    const { signal, abort, listening } = countedSignal();
    const [waiting, other, aborting] = [task.result(), task.result({ signal }), task.result({ signal })];
    const outcome = codeOf(aborting);
    void codeOf(other);
    expect(listening()).toBe(2);
    abort();
    expect([await outcome, await codeOf(other), listening()]).toEqual(["aborted", "aborted", 0]);
    finish();
    expect(await waiting).toMatchObject({ taskId: task.id });
    expect(await codeOf(task.result({ signal }))).toBe("aborted");
    expect(await codeOf(task.result())).toBe("resolved");
  });

  test("lets go of the signals of its waiters when it ends", async () => {
    const { task, finish } = await running();
    const { signal, listening } = countedSignal();
    const waiting = task.result({ signal });
    finish();
    await waiting;
    expect(listening()).toBe(0);
  });

  test("is dismissed when it has ended, and then not found", async () => {
    const { comfy } = browser;
    const page = browser.openPage();
    const session = await page.connect();
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    expect(await codeOf(task.dismiss())).toBe("invalid-option");
    comfy.start(task.promptId ?? "");
    comfy.finish(task.promptId ?? "");
    await task.result();
    await task.dismiss();
    await task.dismiss();
    expect(session.tasks()).toEqual([]);
    await expect(task.result()).rejects.toMatchObject({ code: "not-found", details: { what: task.id } });
    expect((await browser.openPage(page.storage).connect()).tasks()).toEqual([]);
  });

  test("that has ended is neither cancelled nor kept by a host that does not know it any more", async () => {
    const page = browser.openPage();
    const session = await page.connect();
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    browser.comfy.finish(task.promptId ?? "");
    await task.result();
    browser.killWorkers();
    expect(await task.cancel()).toBe(false);
    await task.dismiss();
    expect(session.tasks()).toEqual([]);
  });

  test("that has not ended rejects its waiters with closed when the session closes", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect();
    const [open, ended] = [await session.submit(workflow), await session.submit(workflow)];
    await Promise.all([isAt(open, "queued"), isAt(ended, "queued")]);
    comfy.finish(ended.promptId ?? "");
    await ended.result();
    const waiting = codeOf(open.result());
    await session.close();
    expect(await waiting).toBe("closed");
    expect([await codeOf(open.result()), await codeOf(open.cancel())]).toEqual(["closed", "closed"]);
    expect(await codeOf(ended.result())).toBe("resolved");
  });

  test("is listed oldest first", async () => {
    const session = await browser.openPage().connect();
    const labels = ["a", "b", "c"];
    for (const label of labels) await session.submit(workflow, { label });
    expect(session.tasks().map(({ label }) => label)).toEqual(labels);
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

describe("files", () => {
  const file: OutputFile = {
    nodeId: "1",
    kind: "image",
    filename: "a b$&.png",
    subfolder: "x",
    type: "output",
    serverId: main,
    url: `${main}/view?filename=a`,
  };
  const picture = new Blob(["12345"], { type: "image/png" });

  test("that were uploaded pin the tasks that use them to their server", async () => {
    const { comfy } = browser;
    const servers = [main, "http://two.test"];
    comfy.answers.set("/upload/image", () => json({ name: "p.png", subfolder: "s", type: "input" }));
    const session = await browser.openPage().connect({ servers });
    await expect.poll(comfy.liveSockets).toBe(2);
    await expect.poll(() => session.servers().map(({ connection }) => connection)).toEqual(["open", "open"]);
    const uploaded = await session.upload(picture, { server: "http://two.test", subfolder: "s" });
    expect(uploaded).toMatchObject({ serverId: "http://two.test", input: "s/p.png" });
    for (let times = 0; times < 3; times += 1) {
      await session.submit({ "1": { class_type: "LoadImage", inputs: { image: "s/p.png [input]" } } });
      await expect.poll(() => comfy.prompts.length).toBe(times + 1);
    }
    expect(new Set(comfy.prompts.map(({ url }) => new URL(url).host))).toEqual(new Set(["two.test"]));
  });

  test("that are uploaded tell their progress to who asked, and hurt nobody if that throws", async () => {
    const host = scriptedRealm({ upload: () => undefined });
    browser.workersAre(() => host.realm);
    const page = browser.openPage();
    const session = await page.connect();
    const heard: object[] = [];
    const upload = codeOf(
      session.upload(picture, {
        onProgress(step) {
          heard.push(step);
          throw new Error("my own fault");
        },
      }),
    );
    await expect.poll(() => host.calls.length).toBe(2);
    const { transferId } = JSON.parse(host.calls[1]?.args[0] ?? "");
    host.say([{ kind: "transfer", transferId, loaded: 2, total: 5 }]);
    host.say([{ kind: "transfer", transferId: "another", loaded: 3, total: 5 }]);
    host.say([{ kind: "transfer", transferId, loaded: 5, total: 5 }]);
    await expect
      .poll(() => heard)
      .toEqual([
        { loaded: 2, total: 5 },
        { loaded: 5, total: 5 },
      ]);
    await session.close();
    expect(await upload).toBe("closed");
  });

  test("stop moving at the host, too, when their signal is aborted", async () => {
    const host = scriptedRealm({
      upload: () => undefined,
      fetchFile: () => undefined,
      abort: () => ({ ok: null }),
    });
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    const { signal, abort, listening } = countedSignal();
    const transfers = [session.upload(picture, { signal }), session.fetchFile(file, { signal })].map(codeOf);
    await expect.poll(() => host.calls.length).toBe(3);
    abort();
    expect(await Promise.all(transfers)).toEqual(["aborted", "aborted"]);
    await expect.poll(() => host.calls.slice(3).map(({ method }) => method)).toEqual(["abort", "abort"]);
    const ids = host.calls.slice(1, 3).map(({ args }) => JSON.parse(args[0] ?? "").transferId);
    expect(host.calls.slice(3).map(({ args }) => args[0])).toEqual(ids);
    expect(await codeOf(session.upload(picture, { signal }))).toBe("aborted");
    expect([host.calls.length, listening()]).toEqual([5, 0]);
  });

  test("have an address for previews, at their server and with every part encoded", async () => {
    const session = await browser.openPage().connect();
    const address = `${main}/view?filename=a%20b%24%26.png&subfolder=x&type=output`;
    expect(session.viewUrl(file)).toBe(address);
    expect(session.viewUrl(file, { preview: "webp;80" })).toBe(`${address}&preview=webp%3B80`);
  });

  test("are fetched by the host, and a refusal has its code", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect();
    comfy.answers.set("/view", () => new Response("bytes"));
    expect(await (await session.fetchFile(file)).text()).toBe("bytes");
    comfy.answers.set("/view", () => new Response("", { status: 401 }));
    expect(await codeOf(session.fetchFile(file))).toBe("unauthorized");
    expect(await codeOf(session.fetchFile({ ...file, serverId: "nowhere" }))).toBe("not-found");
    expect(await codeOf(session.upload("text" as never))).toBe("invalid-option");
  });
});

describe("what a server says of its nodes", () => {
  test("is asked of the first server that this handle named", async () => {
    const { comfy } = browser;
    comfy.answers.set("/object_info", () => json({ KSampler: { input: {} } }));
    const page = browser.openPage();
    await page.connect();
    const second = await page.connect({ servers: ["http://two.test"] });
    expect(await second.objectInfo()).toEqual({ KSampler: { input: {} } });
    expect(comfy.requests.filter((one) => one.includes("object_info"))).toEqual([
      "GET http://two.test/object_info",
    ]);
  });

  test("has a typed error when it breaks off", async () => {
    browser.comfy.answers.set("/object_info", () => new Response('{"KSampler": {'));
    const session = await browser.openPage().connect();
    await expect(session.objectInfo()).rejects.toMatchObject({
      code: "not-comfyui",
      details: { serverId: main },
    });
  });
});
