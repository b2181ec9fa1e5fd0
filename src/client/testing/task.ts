import { expect } from "vitest";
import { identityKey } from "../../protocol/names.ts";
import type { Task } from "../api.ts";

export const workflow = { "1": { class_type: "SaveImage", inputs: {} } };

/** The code that a call rejects with, or `"resolved"`. */
export const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "resolved",
    ({ code }) => code,
  );

export const isAt = (task: Task | undefined, status: Task["status"]) =>
  expect.poll(() => task?.status, { timeout: 4_000 }).toBe(status);

/** All that happens to the task, to its end. */
export async function kindsOf(task: Task): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { type } of task) kinds.push(type);
  return kinds;
}

/** The tasks that the tab's storage holds. */
export const remembered = (storage: Storage): { taskId: string }[] =>
  JSON.parse(storage.getItem(identityKey("comfy-tabs")) ?? "{}").tasks;
