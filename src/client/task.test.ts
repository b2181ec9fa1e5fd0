import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Task } from "./api.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { greeting, scriptedRealm } from "./testing/scripted.ts";
import { countedSignal } from "./testing/signal.ts";
import { codeOf, isAt, workflow } from "./testing/task.ts";

const main = "http://comfy.test";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
});

const snapshot = (taskId: string) => ({
  taskId,
  status: "lost",
  seq: 1,
  createdAt: 1,
  events: [{ type: "lost", reason: "removed", taskId, seq: 1, at: 1 }],
});

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

  test("that is dismissed does not come back with a host that has not heard of it, and is told so", async () => {
    const first = scriptedRealm({
      submit: (submission = "") => ({ ok: snapshot(JSON.parse(submission).taskId) }),
      dismiss: () => ({ ok: null }),
    });
    browser.workersAre(() => first.realm);
    const session = await browser.openPage().connect();
    const task = await session.submit(workflow);
    await task.dismiss();
    const tasks = [snapshot(task.id)];
    const next = scriptedRealm({ hello: () => ({ ok: { ...greeting("next"), tasks } }) }, "next");
    browser.workersAre(() => next.realm);
    browser.killWorkers();
    await expect.poll(() => next.calls.at(-1)).toEqual({ method: "dismiss", args: [task.id] });
    expect(session.tasks()).toEqual([]);
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
