import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { OutputFile } from "../protocol/tasks.ts";
import type { Session } from "./api.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { codeOf, isAt, workflow } from "./testing/task.ts";

const main = "http://comfy.test";
const file: OutputFile = {
  nodeId: "9",
  kind: "image",
  filename: "a.png",
  subfolder: "",
  type: "output",
  serverId: main,
  url: `${main}/view?filename=a.png&subfolder=&type=output`,
};

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => browser.end());

const named = (token: string, account?: string) => [
  { url: main, auth: { type: "bearer" as const, token, ...(account ? { account } : {}) } },
];
/** The server takes this token and no other. */
function takes(token: string): void {
  for (const path of ["/prompt", "/queue", "/system_stats"]) browser.comfy.guarded.set(path, token);
}

describe("a session whose token has run out", () => {
  test("is asked for another, and its task goes on with that", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect({ servers: named("old") });
    await expect.poll(() => session.servers()[0]?.connection).toBe("open");
    takes("new");
    const asked: string[] = [];
    session.on("auth-required", async ({ serverId }) => {
      asked.push(serverId);
      await session.setAuth(serverId, { type: "bearer", token: "new" });
    });
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    expect(asked).toEqual([main]);
    expect(comfy.prompts).toHaveLength(1);
    expect(comfy.liveSockets()).toBe(1);
  });

  test("is asked also where its listener comes late", async () => {
    takes("new");
    const session = await browser.openPage().connect({ servers: named("old") });
    await expect.poll(() => session.servers()[0]?.error?.code).toBe("unauthorized");
    const asked = new Promise((resolve) => session.on("auth-required", resolve));
    expect(await asked).toEqual({ serverId: main });
  });

  test("keeps its account with the new one, also at the next host", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect({ servers: named("old") });
    const task = await session.submit(workflow);
    await isAt(task, "queued");
    await session.setAuth(main, { type: "bearer", token: "new" });
    browser.killWorkers();
    await expect.poll(() => browser.realms.length).toBe(2);
    await expect.poll(() => session.servers()[0]?.connection).toBe("open");
    comfy.start(task.promptId ?? "");
    comfy.finish(task.promptId ?? "");
    expect((await task.result()).promptId).toBe(task.promptId);
    takes("new");
    await isAt(await session.submit(workflow), "queued");
    expect((await session.diagnostics()).servers).toHaveLength(1);
  });

  test("finds its task again after a reload that brings another one", async () => {
    browser.end();
    browser = createBrowser();
    const page = browser.openPage();
    const { id, promptId = "" } = await submitted(await page.connect({ servers: named("old") }));
    page.fire("pagehide", false);
    page.crash();
    browser.killWorkers();
    takes("new");
    const session = await browser.openPage(page.storage).connect({ servers: named("new") });
    browser.comfy.start(promptId);
    browser.comfy.finish(promptId);
    expect((await session.task(id)?.result())?.promptId).toBe(promptId);
  });

  test("may connect once more with the first one, as a component that is mounted again", async () => {
    const page = browser.openPage();
    const session = await page.connect({ servers: named("old") });
    await session.setAuth(main, { type: "bearer", token: "new" });
    const again = await page.connect({ servers: named("old") });
    takes("new");
    await isAt(await again.submit(workflow), "queued");
    expect(await codeOf(session.setAuth("http://nowhere.test", { type: "cookie" }))).toBe("not-found");
    expect(await codeOf(session.setAuth(main, { type: "magic" } as never))).toBe("invalid-option");
    expect(await codeOf(session.setAuth(main, undefined as never))).toBe("invalid-option");
  });
});

async function submitted(session: Session) {
  const task = await session.submit(workflow);
  await isAt(task, "queued");
  return task;
}

describe("tabs", () => {
  test("share one socket, however they spell the server", async () => {
    for (const url of [main, "HTTP://Comfy.Test:80/", "comfy.test", "ws://comfy.test"])
      await (await browser.openPage().connect({ servers: [url] })).diagnostics();
    await expect.poll(() => browser.comfy.sockets.length).toBe(1);
  });

  test("of two accounts share neither socket nor credentials", async () => {
    const { comfy } = browser;
    const anna = await browser.openPage().connect({ servers: named("hers", "anna") });
    const ben = await browser.openPage().connect({ servers: named("his", "ben") });
    const guest = await browser.openPage().connect();
    for (const session of [anna, ben, guest]) await isAt(await session.submit(workflow), "queued");
    expect(comfy.liveSockets()).toBe(3);
    expect(new Set(comfy.prompts.map(({ body }) => body.client_id)).size).toBe(3);
    expect(comfy.prompts.map(({ headers }) => new Headers(headers).get("authorization"))).toEqual([
      "Bearer hers",
      "Bearer his",
      null,
    ]);
  });
});

test("an address carries a token only where it is asked for", async () => {
  const servers = [{ url: main, auth: { type: "query" as const, name: "key", token: "a token" } }];
  const session = await browser.openPage().connect({ servers });
  expect(session.viewUrl(file)).toBe(file.url);
  expect(session.viewUrl(file, { withToken: true })).toBe(`${file.url}&key=a%20token`);
  await session.setAuth(main, { type: "query", name: "key", token: "b" });
  expect(session.viewUrl(file, { withToken: true })).toBe(`${file.url}&key=b`);
  const other = await browser.openPage().connect({ servers: named("secret") });
  expect(other.viewUrl(file, { withToken: true })).toBe(file.url);
});

test("credentials in a server's address are refused without being repeated", async () => {
  const connecting = browser.openPage().connect({ servers: ["http://anna:the-secret@comfy.test"] });
  const error = await connecting.catch((thrown: Error) => thrown);
  expect(error).toMatchObject({ code: "invalid-option" });
  expect(String(error)).not.toContain("the-secret");
});

test("a secret is nowhere but where it is sent to", async () => {
  const indexedDB = new IDBFactory();
  const said: unknown[] = [];
  browser.end();
  browser = createBrowser({ indexedDB, log: (message) => said.push(message) });
  const { comfy } = browser;
  const kinds = [
    { type: "basic", username: "anna", password: "SECRET" },
    { type: "bearer", token: "SECRET" },
    { type: "query", token: "SECRET" },
  ] as const;
  const logger = {
    debug: (...words: unknown[]) => said.push(words),
    warn: (...words: unknown[]) => said.push(words),
  };
  const watcher = browser.openPage();
  const other = await watcher.connect({ logger });
  watcher.ports.at(-1)?.port.addEventListener("message", ({ data }) => said.push(data));
  const pages = [];
  for (const auth of kinds) {
    const page = browser.openPage();
    const session = await page.connect({ servers: [{ url: main, auth }], logger });
    page.ports.at(-1)?.port.addEventListener("message", ({ data }) => said.push(data));
    const extraData = { api_key_comfy_org: "SECRET", auth_token_comfy_org: "SECRET", mine: 1 };
    const accepted = await session.submit(workflow, { extraData });
    await isAt(accepted, "queued");
    comfy.fail(accepted.promptId ?? "");
    said.push(await accepted.result().catch((error: unknown) => error));
    pages.push({ page, session, extraData });
  }
  for (const { page, session, extraData } of pages) {
    comfy.answers.set("/prompt", () => new Response("no", { status: 401 }));
    await session.submit(workflow, { extraData });
    for (const status of [401, 500]) {
      comfy.answers.set("/view", () => new Response("no", { status }));
      said.push(await session.fetchFile(file).catch((error: unknown) => error));
    }
    comfy.answers.set("/view", () => Promise.reject(new TypeError("Failed to fetch")));
    said.push(await session.fetchFile(file).catch((error: unknown) => error));
    await expect.poll(() => session.servers()[0]?.error?.code).toBe("unauthorized");
    said.push(session.viewUrl(file), session.servers(), await session.diagnostics());
    said.push(...session.tasks().map((task) => ({ ...task, error: task.progress })), { ...page.storage });
  }
  said.push(await other.diagnostics(), other.servers(), other.tasks(), { ...watcher.storage });
  const before = await dump(indexedDB);
  said.push(before);
  comfy.answers.delete("/prompt");
  browser.killWorkers();
  const [, { session }] = pages as [unknown, (typeof pages)[number]];
  await expect.poll(() => session.tasks().map(({ status }) => status)).toEqual(["failed", "failed"]);
  const unsent = session.tasks()[1];
  expect(await unsent?.result().catch((error: unknown) => error)).toMatchObject({ code: "unauthorized" });
  said.push(await dump(indexedDB), { ...watcher.storage });

  expect(comfy.requests.join()).toContain("token=SECRET");
  expect(before).toContain('"mine":1');
  expect(JSON.stringify(said, (_, value) => (value instanceof Error ? errorText(value) : value))).not.toMatch(
    /SECRET|U0VDUkVU|YW5uYTpTRUNSRVQ/,
  );
});

const errorText = (error: Error) => ({ ...error, message: error.message, stack: error.stack });

/** All that the databases hold. */
async function dump(factory: IDBFactory): Promise<string> {
  const rows: unknown[] = [];
  const asked = <T>(request: IDBRequest<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  for (const { name = "" } of await factory.databases()) {
    const database = await asked(factory.open(name));
    for (const store of [...database.objectStoreNames])
      rows.push(await asked(database.transaction(store).objectStore(store).getAll()));
    database.close();
  }
  return JSON.stringify(rows);
}
