import { describe, expect, test } from "vitest";
import { createDice } from "./dice.ts";

const throws = (seed: number, count: number) => {
  const dice = createDice(seed);
  return Array.from({ length: count }, () => dice.whole(1, 6));
};

describe("dice", () => {
  test("fall the same for the same seed, and otherwise for another", () => {
    expect(throws(5, 50)).toEqual(throws(5, 50));
    expect(throws(5, 50)).not.toEqual(throws(6, 50));
  });

  test("give every whole number of both ends, and no other", () => {
    expect([...new Set(throws(1, 500))].sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("give delays that are mostly near what is usual, and now and then a hundred times as much", () => {
    const dice = createDice(3);
    const delays = Array.from({ length: 5_000 }, () => dice.delay(10)).sort((a, b) => a - b);
    expect(delays[0]).toBeGreaterThan(0);
    expect(delays[2_500]).toBeLessThan(15);
    expect(delays.at(-1)).toBeGreaterThan(500);
  });
});
