// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import type { Task, TaskEvent } from "../client/index.ts";
import { Announcer } from "./announcer.ts";
import { rememberNodeNames } from "./node-names.ts";
import { TaskList } from "./task-list.ts";

afterEach(() => vi.unstubAllGlobals());

/** One that tells what it is given, and goes on. */
function taskOf(id: string, ...events: object[]): Task {
  return {
    id,
    label: id,
    status: "running",
    serverId: undefined,
    async *[Symbol.asyncIterator]() {
      yield* events as TaskEvent[];
      await new Promise(() => {});
    },
  } as unknown as Task;
}

const settled = () => new Promise((resolve) => setTimeout(resolve));
const node = { type: "node", nodeId: "1", displayNodeId: "1" };

test("tasks are shown also where the browser keeps site data back", async () => {
  vi.stubGlobal("sessionStorage", {
    getItem() {
      throw new DOMException("Access is denied.", "SecurityError");
    },
    setItem() {
      throw new DOMException("Access is denied.", "SecurityError");
    },
    removeItem() {
      throw new DOMException("Access is denied.", "SecurityError");
    },
  });
  const list = new TaskList(new Announcer(), () => {});
  rememberNodeNames("a", { "1": { class_type: "KSampler", inputs: {} } });
  list.add(taskOf("a", node));
  await settled();
  expect(list.view.textContent).toContain("node 1");
});
