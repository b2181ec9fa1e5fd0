import { describe, expect, test } from "vitest";
import { leaveOut } from "./shrink.ts";

describe("a schedule that fails", () => {
  test("is left with the acts without which it would hold", () => {
    const fails = (without: ReadonlySet<number>): boolean => !without.has(2) && !without.has(5);
    expect([...leaveOut(8, fails)].sort()).toEqual([0, 1, 3, 4, 6, 7]);
  });

  test("is tried again as long as leaving out one act makes another superfluous", () => {
    // 3 is needed only while 1 is there.
    const fails = (without: ReadonlySet<number>): boolean => without.has(1) || !without.has(3);
    expect([...leaveOut(4, fails)].sort()).toEqual([0, 1, 2, 3]);
  });
});
