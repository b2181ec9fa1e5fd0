// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";
import type { Diagnostics, Session, SessionEvents, Task } from "../client/index.ts";

const listeners = new Map<keyof SessionEvents, (event: never) => void>();
let tasks: Task[] = [];
const host = { mode: "shared", tabs: 1, servers: [], journal: "disk", build: "test" };
const session = {
  windowId: "window_1_a",
  servers: () => [],
  tasks: () => tasks,
  on: (type: keyof SessionEvents, listener: (event: never) => void) => listeners.set(type, listener),
  diagnostics: async () => host as unknown as Diagnostics,
} as unknown as Session;

vi.mock("../client/index.ts", async (original) => ({
  ...(await original<object>()),
  connect: async () => session,
}));

const taskOf = (id: string): Task =>
  ({ id, label: id, status: "running", async *[Symbol.asyncIterator]() {} }) as unknown as Task;

const shown = () =>
  [...document.querySelectorAll<HTMLElement>("[data-testid=task]")].map(({ dataset }) => dataset.taskId);

test("the page shows the tasks that come to its tab by another way, and none that have gone", async () => {
  history.replaceState(null, "", "?server=http://comfy.test");
  const [before, later] = [taskOf("before"), taskOf("later")];
  tasks = [before];
  await import("./main.ts");
  expect(shown()).toEqual(["before"]);
  listeners.get("tasks")?.([before, later] as never);
  await expect.poll(shown).toEqual(["later", "before"]);
  listeners.get("tasks")?.([later] as never);
  await expect.poll(shown).toEqual(["later"]);
});
