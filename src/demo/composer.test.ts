// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";
import type { Session, Task } from "../client/index.ts";
import { Composer } from "./composer.ts";

const submitted: string[] = [];
const submit = vi.fn(
  async (_workflow: unknown, { label }: { label: string }) => ({ id: label, label }) as Task,
);
const session = { servers: () => [], submit } as unknown as Session;

let composer: Composer;
beforeEach(() => {
  submitted.length = 0;
  composer = new Composer(session, (task) => submitted.push(task.id));
});

const good = (name: string) => new File(['{ "1": { "class_type": "A", "inputs": {} } }'], name);
const words = () => composer.view.querySelector("[data-testid=refusal]")?.textContent;

test("what is wrong with a dropped file is still said when the next one was fine", async () => {
  await composer.submitFiles([new File(["<svg/>"], "picture.svg"), good("fine.json")]);
  expect(submitted).toEqual(["fine"]);
  expect(words()).toContain("picture.svg");
});

test("what is wrong with each of several files is said", async () => {
  await composer.submitFiles([new File(["<svg/>"], "one.svg"), new File(["?"], "two.txt")]);
  expect(words()).toMatch(/one\.svg.*two\.txt/);
  await composer.submitFiles([good("fine.json")]);
  expect(words()).toBe("");
});

test("a dropped folder, which cannot be read, is refused in words, and the others run", async () => {
  const folder = new File([], "folder");
  folder.text = () =>
    Promise.reject(new DOMException("A requested file could not be found.", "NotFoundError"));
  await composer.submitFiles([folder, good("fine.json")]);
  expect(submitted).toEqual(["fine"]);
  expect(words()).toContain("folder");
});
