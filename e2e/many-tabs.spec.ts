import type { Frame } from "@playwright/test";
import type { Simulator } from "../src/simulator/http-server.ts";
import { expect, type Tab, tabOn, test } from "./fixtures.ts";
import { blocked, failing, picture, portrait, same, talking } from "./workflows.ts";

const openSockets = (comfy: Simulator) => comfy.log.sockets.filter(({ closedAt }) => closedAt === undefined);

async function openTabs(openTab: () => Promise<Tab>, count: number): Promise<Tab[]> {
  const tabs: Tab[] = [];
  for (let number = 0; number < count; number += 1) tabs.push(await openTab());
  return tabs;
}

/** Every event that a tab heard is of a task that this tab submitted. */
async function expectOwnOnly(tabs: readonly Tab[], owned: readonly (readonly string[])[]): Promise<void> {
  for (const [index, tab] of tabs.entries()) {
    const strangers = (await tab.heard()).filter(({ taskId }) => !owned[index]?.includes(taskId));
    expect(strangers).toEqual([]);
  }
}

test("many tabs share one socket, also after some reload and close", { tag: "@dev" }, async ({
  openTab,
  comfy,
}) => {
  const tabs = await openTabs(openTab, 6);
  await expect.poll(() => openSockets(comfy).length).toBe(1);
  await tabs[0]?.page.reload();
  await tabs[1]?.page.close();
  const last = await openTab();
  await last.ending(await last.submit(portrait()));
  expect(comfy.log.sockets).toHaveLength(1);
});

test("every task ends at its own tab and nowhere else", { tag: "@dev" }, async ({ openTab, comfy }) => {
  const tabs = await openTabs(openTab, 8);
  const owned = await Promise.all(
    tabs.map((tab) => Promise.all(Array.from({ length: 5 }, () => tab.submit(portrait())))),
  );
  const endings = await Promise.all(
    tabs.flatMap((tab, index) => owned[index]?.map((taskId) => tab.ending(taskId)) ?? []),
  );
  expect(endings.map(({ type }) => type)).toEqual(Array(40).fill("succeeded"));
  await expectOwnOnly(tabs, owned);

  const heard = (await Promise.all(tabs.map((tab) => tab.heard()))).flat();
  const accepted = heard.filter(({ type }) => type === "accepted").map(({ detail }) => detail);
  const ran = comfy.log.prompts.filter(({ ending }) => ending === "success").map(({ promptId }) => promptId);
  expect([...accepted].sort()).toEqual([...ran].sort());
  expect(comfy.log.prompts).toHaveLength(40);
  expect(comfy.log.sockets).toHaveLength(1);
  for (const taskId of owned.flat()) {
    const own = heard.filter((event) => event.taskId === taskId);
    expect(own.filter(({ type }) => type === "succeeded")).toHaveLength(1);
    expect(own.map(({ seq }) => seq)).toEqual([...own].map(({ seq }) => seq).sort((a, b) => a - b));
  }
});

test("two tabs with the same workflow both get its result, one of them from the cache", async ({
  openTab,
}) => {
  const [anna, ben] = (await openTabs(openTab, 2)) as [Tab, Tab];
  const tasks = await Promise.all([anna.submit(same), ben.submit(same)]);
  const [first, second] = await Promise.all([anna.ending(tasks[0]), ben.ending(tasks[1])]);
  expect(first).toMatchObject({ type: "succeeded", outputs: { "2": { text: ["same:7"] } } });
  expect(second).toMatchObject({ type: "succeeded", outputs: { "2": { text: ["same:7"] } } });
});

test("a tab that never reads stops nobody, and has its endings when it reads again", async ({ openTab }) => {
  const [anna, ben] = (await openTabs(openTab, 2)) as [Tab, Tab];
  const lazy = await Promise.all([1, 2, 3].map(() => anna.submit(portrait({ steps: 30 }))));
  const blockedMs = 4000;
  const blocking = anna.page.evaluate((ms) => {
    const until = Date.now() + ms;
    while (Date.now() < until);
  }, blockedMs);
  const started = Date.now();
  const busy = await Promise.all([1, 2, 3, 4].map(() => ben.submit(portrait({ steps: 5 }))));
  for (const taskId of busy) expect(await ben.ending(taskId)).toMatchObject({ type: "succeeded" });
  expect(Date.now() - started).toBeLessThan(blockedMs);
  await blocking;
  for (const taskId of lazy) expect(await anna.ending(taskId)).toMatchObject({ type: "succeeded" });
});

test("answers to the POST that come late lose nothing", async ({ openTab, comfy }) => {
  comfy.faults.add({ fault: "delay-answer", ms: 300, on: "POST /prompt" });
  const tab = await openTab();
  const tasks = await Promise.all(
    [portrait({ steps: 1 }), same, same, failing()].map((graph) => tab.submit(graph)),
  );
  const endings = await Promise.all(tasks.map((taskId) => tab.ending(taskId)));
  expect(endings.map(({ type }) => type)).toEqual(["succeeded", "succeeded", "succeeded", "failed"]);
  for (const taskId of tasks) {
    const order = (await tab.heard()).filter((event) => event.taskId === taskId).map(({ type }) => type);
    expect(order[0]).toBe("accepted");
  }
});

test("prompts of strangers without a client id reach nobody", async ({ openTab, server }) => {
  const tab = await openTab();
  const post = (prompt: object) =>
    fetch(`${server.url}/prompt`, { method: "POST", body: JSON.stringify({ prompt }) });
  const tasks: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    await post(portrait({ steps: 4, tag: "stranger" }));
    await post(talking("a stranger's words"));
    tasks.push(await tab.submit(talking("own words")));
  }
  for (const taskId of tasks) expect(await tab.ending(taskId)).toMatchObject({ type: "succeeded" });
  const heard = await tab.heard();
  expect(heard.filter(({ type }) => type === "preview")).toEqual([]);
  expect(heard.filter(({ type }) => type === "text").map(({ detail }) => detail)).toEqual(
    Array(4).fill("own words"),
  );
  await expectOwnOnly([tab], [tasks]);
});

test("another application of the same origin has a host of its own", async ({ openTab, comfy }) => {
  const anna = await openTab();
  const other = await openTab({ name: "another-app" });
  const [mine, theirs] = await Promise.all([anna.submit(portrait()), other.submit(portrait())]);
  await Promise.all([anna.ending(mine), other.ending(theirs)]);
  await expectOwnOnly([anna, other], [[mine], [theirs]]);
  expect(openSockets(comfy)).toHaveLength(2);
  expect(new Set(openSockets(comfy).map(({ clientId }) => clientId)).size).toBe(2);
});

test("a failure, a blocked node, a text and a picture arrive as what they are", { tag: "@dev" }, async ({
  openTab,
}) => {
  const tab = await openTab();
  const [bad, half, words, image] = (await Promise.all(
    [failing(), blocked(), talking("grüße"), picture()].map((graph) => tab.submit(graph)),
  )) as [string, string, string, string];
  expect(await tab.ending(bad)).toMatchObject({ type: "failed", code: "node-failed" });
  expect(await tab.ending(half)).toMatchObject({ type: "succeeded", outputs: { "4": {} } });
  expect(await tab.ending(words)).toMatchObject({ type: "succeeded" });
  const shown = await tab.ending(image);
  const url = shown.files?.[0]?.url ?? "";
  expect(url).toContain("a%20%26%20b");
  const type = await tab.page.evaluate(async (at) => (await (await fetch(at)).blob()).type, url);
  expect(type).toBe("image/png");
  const heard = await tab.heard();
  expect(heard.find(({ taskId, type }) => taskId === half && type === "warning")?.detail).toBe(
    "node-blocked",
  );
  expect(heard.find(({ taskId, type }) => taskId === words && type === "text")?.detail).toBe("grüße");
  expect(heard.find(({ taskId, type }) => taskId === image && type === "preview")?.detail).toMatchObject({
    mime: "image/png",
    nodeId: "1",
  });
});

test("cancelling stops the own task, running or waiting, and no other", async ({ openTab, server }) => {
  // Never with the simulator, which plays the newest; core/cancel.test.ts says what older servers get instead.
  test.skip(!server.abilities.targetedInterrupt, "Before 0.3.57 no running prompt can be stopped alone.");
  const [anna, ben] = (await openTabs(openTab, 2)) as [Tab, Tab];
  const long = await anna.submit(portrait({ steps: 200, delayMs: 20 }));
  const waiting = await anna.submit(portrait());
  const others = await ben.submit(portrait());
  const cancel = (taskId: string) => anna.page.evaluate((id) => window.tab.task(id).cancel(), taskId);
  await expect.poll(async () => (await anna.heard()).some(({ type }) => type === "progress")).toBe(true);
  expect(await cancel(waiting)).toBe(true);
  expect(await cancel(long)).toBe(true);
  expect(await anna.ending(long)).toMatchObject({ type: "cancelled" });
  expect(await anna.ending(waiting)).toMatchObject({ type: "cancelled" });
  expect(await ben.ending(others)).toMatchObject({ type: "succeeded" });
  const requests = server.simulator?.log.requests ?? [];
  expect(requests.filter(({ target }) => target.endsWith("/interrupt"))).toEqual([]);
});

test("a reloaded tab finds its tasks where it left them, a duplicated one none of them", async ({
  openTab,
  server,
  context,
}) => {
  const anna = await openTab();
  await openTab(); // somebody keeps the host alive
  const done = await anna.submit(portrait());
  await anna.ending(done);
  const running = await anna.submit(portrait({ steps: 40, delayMs: 20 }));
  await anna.page.reload();
  await anna.page.waitForFunction(() => window.tab !== undefined);
  const options = { servers: [server.url] };
  const { tabId } = await anna.page.evaluate((given) => window.tab.open(given), options);
  expect(tabId).toBe(anna.tabId);
  const again = tabOn(anna.page, tabId);
  expect(await again.ending(done)).toMatchObject({ type: "succeeded" });
  expect(await again.ending(running)).toMatchObject({ type: "succeeded" });

  const [copy] = await Promise.all([
    context.waitForEvent("page"),
    anna.page.evaluate(() => void window.open(location.href)),
  ]);
  await copy.waitForFunction(() => window.tab !== undefined);
  expect(await copy.evaluate(() => sessionStorage.length)).toBeGreaterThan(0);
  const twin = await copy.evaluate((given) => window.tab.open(given), options);
  expect(twin.tabId).not.toBe(anna.tabId);
  expect(await copy.evaluate(() => window.tab.session().tasks().length)).toBe(0);
});

test("a file that was uploaded can be used, and its progress is told", async ({ openTab }) => {
  const tab = await openTab();
  const result = await tab.page.evaluate(async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 8, height: 8 });
    const blob = await new Promise<Blob>((made) => canvas.toBlob((image) => made(image as Blob)));
    const seen: number[] = [];
    const session = window.tab.session();
    const uploaded = await session.upload(new File([blob], "my photo.png"), {
      onProgress: ({ loaded, total }) => seen.push(loaded / total),
    });
    const task = await session.submit({
      "1": { class_type: "LoadImage", inputs: { image: uploaded.input } },
      "2": { class_type: "PreviewImage", inputs: { images: ["1", 0] } },
    });
    const { files } = await task.result();
    const bytes = await session.fetchFile(files[0] as never);
    return { name: uploaded.name, last: seen.at(-1), type: bytes.type, size: bytes.size };
  });
  expect(result).toMatchObject({ name: "my photo.png", last: 1, type: "image/png" });
  expect(result.size).toBeGreaterThan(50);
});

test("what cannot be sent is refused with a code and a place, and nothing is sent", async ({
  openTab,
  comfy,
}) => {
  const tab = await openTab();
  const codes = await tab.page.evaluate(async () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    const node = (inputs: object) => ({ "1": { class_type: "X", inputs } });
    const bad: unknown[] = [
      { nodes: [], links: [] },
      "text",
      {},
      node({ a: Number.NaN }),
      node({ a: ["9", 0] }),
      node({ a: loop }),
    ];
    const found: [string, string][] = [];
    for (const workflow of bad) {
      const error = await window.tab
        .session()
        .submit(workflow as never)
        .then(
          () => ({ code: "none", details: { path: "" } }),
          (thrown) => thrown,
        );
      found.push([error.code, error.details.path]);
    }
    return found;
  });
  expect(codes.map(([code]) => code)).toEqual([
    "workflow-format",
    "workflow-format",
    "workflow-format",
    "workflow-invalid",
    "workflow-invalid",
    "workflow-invalid",
  ]);
  expect(codes.slice(3, 5).map(([, path]) => path)).toEqual(["1.inputs.a", "1.inputs.a"]);
  expect(comfy.log.prompts).toEqual([]);
});

test("the nodes of a server are fetched once for all tabs", async ({ openTab, comfy }) => {
  const tabs = await openTabs(openTab, 3);
  const classes = await Promise.all(
    tabs.map((tab) =>
      tab.page.evaluate(async () => Object.keys(await window.tab.session().objectInfo()).length),
    ),
  );
  expect(new Set(classes).size).toBe(1);
  expect(comfy.log.requests.filter(({ target }) => target === "/object_info")).toHaveLength(1);
});

test("a prompt that the app posted itself becomes a task of the tab, and of no other", async ({
  openTab,
  server,
}) => {
  const [anna, ben] = (await openTabs(openTab, 2)) as [Tab, Tab];
  const workflow = portrait({ steps: 10, delayMs: 20 });
  const { taskId, promptId } = await anna.page.evaluate(
    async ([serverId, prompt]) => {
      const session = window.tab.session();
      const body = JSON.stringify({ prompt, client_id: await session.clientId(serverId) });
      const answer = await (await fetch(`${serverId}/prompt`, { method: "POST", body })).json();
      const task = await session.register({ serverId, promptId: answer.prompt_id });
      return { taskId: task.id, promptId: answer.prompt_id as string };
    },
    [server.url, workflow] as const,
  );
  expect(await anna.ending(taskId)).toMatchObject({ type: "succeeded" });
  const stolen = await ben.page.evaluate(
    ([serverId, id]) =>
      window.tab
        .session()
        .register({ serverId, promptId: id })
        .then(String, (error) => error.code),
    [server.url, promptId] as const,
  );
  expect(stolen).toBe("not-found");
});

test("a page and a frame in it are two tabs, and each is itself again after a reload", async ({
  openTab,
  server,
}) => {
  const options = { servers: [server.url] };
  const own = () =>
    window.tab
      .session()
      .tasks()
      .map(({ id }) => id);
  const outer = await openTab();
  const { page } = outer;
  const embed = async () => {
    await page.evaluate(() => {
      document.body.append(Object.assign(document.createElement("iframe"), { src: location.href }));
    });
    await expect.poll(() => page.frames().length).toBe(2);
    const frame = page.frames()[1] as Frame;
    await frame.waitForFunction(() => window.tab !== undefined);
    const { tabId } = await frame.evaluate((given) => window.tab.open(given), options);
    return { frame, tabId };
  };
  const inner = await embed();
  const outerTask = await outer.submit(portrait());
  const innerTask = await inner.frame.evaluate((given) => window.tab.submit(given), portrait());
  await outer.ending(outerTask);
  await page.reload();
  await page.waitForFunction(() => window.tab !== undefined);
  const { tabId } = await page.evaluate((given) => window.tab.open(given), options);
  const again = await embed();
  expect([tabId, again.tabId]).toEqual([outer.tabId, inner.tabId]);
  expect([await page.evaluate(own), await again.frame.evaluate(own)]).toEqual([[outerTask], [innerTask]]);
});
