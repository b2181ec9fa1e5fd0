import { expect, test } from "vitest";
import { createHolds } from "./holds.ts";

test("a hold holds once, and only after its message of its prompt and node", () => {
  const holds = createHolds();
  holds.add({ promptId: "mine", after: "executing", nodeId: "2" });
  expect(holds.matches("other", "executing", "2")).toBe(false);
  expect(holds.matches("mine", "progress", "2")).toBe(false);
  expect(holds.matches("mine", "executing", "1")).toBe(false);
  expect(holds.matches("mine", "executing", "2")).toBe(true);
  expect(holds.matches("mine", "executing", "2")).toBe(false);
});

test("a hold without a prompt takes the first that comes", () => {
  const holds = createHolds();
  holds.add({ after: "execution_start" });
  holds.add({ after: "execution_start" });
  expect(holds.matches("first", "execution_start", undefined)).toBe(true);
  expect(holds.matches("second", "execution_start", undefined)).toBe(true);
  expect(holds.matches("third", "execution_start", undefined)).toBe(false);
});

test("holds are taken back for one prompt or for all", () => {
  const holds = createHolds();
  for (const promptId of ["a", "b"]) holds.add({ promptId, after: "queued" });
  holds.remove("a");
  expect(holds.matches("a", "queued", undefined)).toBe(false);
  holds.remove();
  expect(holds.matches("b", "queued", undefined)).toBe(false);
});
