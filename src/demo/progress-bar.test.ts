// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { ProgressBar } from "./progress-bar.ts";

test("a step of a node that has none is no number, and shown as nothing done", () => {
  const bar = new ProgressBar();
  bar.show(0 / 0);
  expect(bar.view.getAttribute("aria-valuenow")).toBe("0");
});
