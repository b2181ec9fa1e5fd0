import { expect, test } from "./fixtures.ts";
import { portrait } from "./workflows.ts";

/** Sends raw messages on a port past the client, and collects what comes back within the given time. */
async function attack(
  page: import("@playwright/test").Page,
  messages: unknown[],
  waitMs = 500,
): Promise<unknown[]> {
  return page.evaluate(
    async ([list, ms]) => {
      const port = window.tab.rawPort();
      const answers: unknown[] = [];
      port.onmessage = ({ data }) => answers.push(data);
      for (const message of list) port.postMessage(message);
      await new Promise((resolve) => setTimeout(resolve, ms));
      return answers;
    },
    [messages, waitMs] as const,
  );
}

const call = (id: string, path: unknown, argumentList: unknown, type = "APPLY") => ({
  id,
  type,
  path,
  argumentList,
});
const raw = (value: unknown) => ({ type: "RAW", value });

test("a hostile tab gets errors, and the others notice nothing", async ({ openTab, server }) => {
  const anna = await openTab();
  const mallory = await openTab();
  const running = await anna.submit(portrait({ steps: 100, delayMs: 20 }));
  await expect.poll(async () => (await anna.heard()).some(({ type }) => type === "progress")).toBe(true);
  const promptId = (await anna.heard()).find(({ type }) => type === "accepted")?.detail as string;

  const codes = await mallory.page.evaluate(
    async ([taskId, prompt, serverId]) => {
      const session = window.tab.session();
      const codeOf = (made: Promise<unknown>) =>
        made.then(
          () => "none",
          (error) => error.code,
        );
      const link = (session as unknown as { task(id: string): unknown }).task(taskId);
      return [link, await codeOf(session.register({ serverId, promptId: prompt })), session.tasks().length];
    },
    [running, promptId, server.url] as const,
  );
  expect(codes).toEqual([undefined, "not-found", 0]);

  const hello = {
    protocol: { major: 1, minor: 0 },
    build: "x",
    portId: "evil",
    tabId: anna.tabId,
    tabSecret: "guessed",
    windowId: "w",
    servers: [{ id: server.url, url: server.url }],
    tasks: [],
    previews: "newest",
    hasLock: false,
  };
  const answers = await attack(mallory.page, [
    call("1", ["hello"], [raw(JSON.stringify(hello))]),
    call("2", ["cancel"], [raw(running)]),
    call("3", ["constructor"], [raw("x")]),
    call("4", ["submit", "constructor"], []),
    call("5", ["hello"], [], "CONSTRUCT"),
    { id: "6", type: "SET", path: ["cancel"], value: raw("x") },
    { id: "7", type: "GET", path: ["__proto__"] },
    { id: "8", type: "RELEASE" },
    call("9", ["cancel"], null),
    call("10", ["cancel"], [null]),
    call("11", ["cancel"], [{ type: "HANDLER", name: "nope", value: 1 }]),
    call("12", ["cancel"], [{ type: "HANDLER", name: "proxy", value: 1 }]),
    call("13", ["hello"], [raw("{not json")]),
    call("14", ["hello"], [raw("{}")]),
    call("15", ["cancel"], [raw({ toString: 1 })]),
    null,
    42,
    "text",
    [],
    { comfyTabs: "ack", batch: Number.NaN },
    { comfyTabs: "nonsense" },
    { id: 16, type: "APPLY" },
  ]);
  const byId = new Map(
    (answers as { id: string; value: { error?: { code: string } } }[]).map((one) => [one.id, one.value]),
  );
  expect(byId.get("1")).toMatchObject({ ok: { refused: "tab-id-taken" } });
  // Refused at the door: to this port the host does not even say whether the task exists.
  expect(byId.get("2")?.error?.code).toBe("host-lost");
  for (const id of ["3", "4", "5", "6", "7", "9", "10", "11", "12", "13", "14", "15"])
    expect(byId.get(id)?.error?.code, `call ${id}`).toMatch(/not-found|invalid-option|host-lost/);

  expect(await anna.page.evaluate((id) => window.tab.task(id).status, running)).toBe("running");
  expect(await anna.ending(running)).toMatchObject({ type: "succeeded" });
});

test("messages of 50 MB and 20,000 calls at once are borne", async ({ openTab }) => {
  const anna = await openTab();
  const mallory = await openTab();
  const flood = mallory.page.evaluate(async () => {
    const port = window.tab.rawPort();
    let answered = 0;
    port.onmessage = ({ data }) => {
      if ("id" in data) answered += 1;
    };
    const huge = "x".repeat(50 * 1024 * 1024);
    port.postMessage({
      id: "huge",
      type: "APPLY",
      path: ["submit"],
      argumentList: [{ type: "RAW", value: huge }],
    });
    port.postMessage({
      id: "huger",
      type: "APPLY",
      path: ["cancel"],
      argumentList: [{ type: "RAW", value: huge }],
    });
    for (let number = 0; number < 20_000; number += 1)
      port.postMessage({ id: `c${number}`, type: "APPLY", path: ["diagnostics"], argumentList: [] });
    while (answered < 20_002) await new Promise((resolve) => setTimeout(resolve, 20));
    return answered;
  });
  const tasks = await Promise.all([1, 2, 3].map(() => anna.submit(portrait())));
  for (const taskId of tasks) expect(await anna.ending(taskId)).toMatchObject({ type: "succeeded" });
  expect(await flood).toBe(20_002);
  expect(await mallory.ending(await mallory.submit(portrait()))).toMatchObject({ type: "succeeded" });
});
