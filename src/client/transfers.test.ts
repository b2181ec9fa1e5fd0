import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { OutputFile } from "../protocol/tasks.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { json } from "./testing/comfy.ts";
import { scriptedRealm } from "./testing/scripted.ts";
import { countedSignal } from "./testing/signal.ts";
import { codeOf, isAt } from "./testing/task.ts";

const main = "http://comfy.test";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
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

  test("pin no task of a page that is loaded anew, which names their server itself", async () => {
    const { comfy } = browser;
    const servers = [main, "http://two.test"];
    comfy.answers.set("/upload/image", () => json({ name: "p.png", subfolder: "", type: "input" }));
    const page = browser.openPage();
    const { serverId } = await (await page.connect({ servers })).upload(picture, {
      server: "http://two.test",
    });
    page.crash();
    const again = await browser.openPage(page.storage).connect({ servers });
    const load = { "1": { class_type: "LoadImage", inputs: { image: "p.png" } } };
    for (const options of [{}, { server: serverId }]) {
      const task = await again.submit(load, options);
      await isAt(task, "queued");
    }
    expect(comfy.prompts.map(({ url }) => new URL(url).host)).toEqual(["comfy.test", "two.test"]);
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
    const page = browser.openPage();
    const session = await page.connect();
    const { signal, abort, listening } = countedSignal();
    const transfers = [session.upload(picture, { signal }), session.fetchFile(file, { signal })].map(codeOf);
    await expect.poll(() => host.calls.length).toBe(3);
    abort();
    expect(await Promise.all(transfers)).toEqual(["aborted", "aborted"]);
    await expect.poll(() => host.calls.slice(3).map(({ method }) => method)).toEqual(["abort", "abort"]);
    const ids = host.calls.slice(1, 3).map(({ args }) => JSON.parse(args[0] ?? "").transferId);
    expect(host.calls.slice(3).map(({ args }) => args[0])).toEqual(ids);
    expect(await codeOf(session.upload(picture, { signal, onProgress() {} }))).toBe("aborted");
    expect([host.calls.length, listening()]).toEqual([5, 0]);
    const [shared] = page.pages.values();
    expect((await shared?.opening)?.transfers.size).toBe(0);
  });

  test("that are masks of an image take an undefined place of it for the usual one", async () => {
    const host = scriptedRealm({ upload: () => ({ error: {} }) });
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    const maskOf = { filename: "a.png", subfolder: undefined, type: undefined } as never;
    await codeOf(session.upload(picture, { maskOf }));
    const { original } = JSON.parse(host.calls[1]?.args[0] ?? "");
    expect(original).toEqual({ filename: "a.png", subfolder: "", type: "output" });
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

  test("may hold numbers that JSON has no words for, as Python writes them", async () => {
    const said =
      '{"Seed":{"input":{"min":-Infinity,"max":Infinity,"tooltip":"\\"NaN\\" is none","default":NaN}}}';
    browser.comfy.answers.set("/object_info", () => new Response(said));
    const session = await browser.openPage().connect();
    expect(await session.objectInfo()).toEqual({
      Seed: { input: { min: null, max: null, tooltip: '"NaN" is none', default: null } },
    });
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
