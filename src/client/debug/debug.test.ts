import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Session } from "../api.ts";
import { type Browser, createBrowser } from "../testing/browser.ts";
import { enableDebug, testMultiWindow } from "./index.ts";

let browser: Browser;
const ends: (() => void)[] = [];
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  for (const end of ends.splice(0)) end();
  browser.end();
});

async function openWindow(): Promise<Session> {
  const session = await browser.openPage().connect();
  ends.push(enableDebug(session));
  return session;
}

/** Answers each prompt as the server's nodes would, or with what another prompt was to have. */
function serve(outputOf: (value: number) => number = (value) => value): () => number {
  const { comfy } = browser;
  let served = 0;
  const timer = setInterval(() => {
    for (const { promptId, body } of comfy.prompts.slice(served)) {
      served += 1;
      const { value } = (body as unknown as { prompt: { 1: { inputs: { value: number } } } }).prompt[1]
        .inputs;
      const output = { text: [String(outputOf(value))] };
      comfy.start(promptId);
      comfy.say("executed", { prompt_id: promptId, node: "2", display_node: "2", output });
      comfy.finish(promptId);
    }
  }, 5);
  ends.push(() => clearInterval(timer));
  return () => served;
}

test("a check has every window submit, and tells of each that it heard its own tasks only", async () => {
  const sessions = [await openWindow(), await openWindow()];
  const served = serve();
  const reports = await testMultiWindow({ tasks: 2 });
  expect(reports.map(({ windowId, pass, problems }) => ({ windowId, pass, problems }))).toEqual(
    sessions.map(({ windowId }) => ({ windowId, pass: true, problems: [] })),
  );
  expect(served()).toBe(4);
  expect(new Set(reports.flatMap(({ prompts }) => prompts)).size).toBe(4);
  expect(sessions.map((session) => session.tasks())).toEqual([[], []]);
});

test("a check takes an undefined number of tasks for the usual one", async () => {
  await openWindow();
  const served = serve();
  await testMultiWindow({ tasks: undefined } as unknown as { tasks: number });
  expect(served()).toBe(3);
});

test("a check fails where a task has another one's result", async () => {
  await openWindow();
  serve(() => -1);
  const [report] = await testMultiWindow({ tasks: 1 });
  expect(report).toMatchObject({ pass: false, problems: [expect.stringContaining("another task's result")] });
});

test("a check says why a window could not submit", async () => {
  await openWindow();
  const [report] = await testMultiWindow({ tasks: 1, server: "http://unknown.test" });
  expect(report).toMatchObject({ pass: false, problems: [expect.stringContaining("http://unknown.test")] });
});

test("a check says why a window could not dismiss its tasks", async () => {
  const session = await browser.openPage().connect();
  const dismiss = { value: () => Promise.reject(new Error("out of paper")) };
  const submit: Session["submit"] = async (...given) =>
    Object.create(await session.submit(...given), { dismiss });
  ends.push(enableDebug({ ...session, submit }));
  serve();
  const [report] = await testMultiWindow({ tasks: 1 });
  expect(report).toMatchObject({ pass: false, problems: [expect.stringContaining("out of paper")] });
});

test("a window that is closed to checks during one says nothing more, and nothing fails for it", async () => {
  const session = await browser.openPage().connect();
  const end = enableDebug(session);
  const failed = vi.fn();
  for (const type of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(type, failed);
    ends.push(() => process.off(type, failed));
  }
  void testMultiWindow({ tasks: 1 });
  await expect.poll(() => browser.comfy.prompts.length).toBe(1);
  end();
  serve();
  await expect.poll(() => session.tasks()).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(failed).not.toHaveBeenCalled();
});

test("windows that were not opened for checks take no part", async () => {
  await browser.openPage().connect();
  expect(await testMultiWindow()).toEqual([]);
  const session = await browser.openPage().connect();
  enableDebug(session)();
  expect(await testMultiWindow()).toEqual([]);
});
