import { describe, expect, test } from "vitest";
import type { Outcome } from "./simulation.ts";
import { Summary } from "./summary.ts";

const outcome = (more: Partial<Outcome>): Outcome => ({
  seed: 1,
  steps: 100,
  virtualMs: 60_000,
  faults: [],
  tasks: 2,
  endings: { succeeded: 2 },
  twice: 0,
  twins: { seen: 0, removed: 0 },
  failure: undefined,
  ...more,
});

function summaryOf(...outcomes: Partial<Outcome>[]): Summary {
  const summary = new Summary();
  for (const one of outcomes) summary.add(outcome(one));
  return summary;
}

describe("a summary", () => {
  test("counts each ordered pair of faults that a world has seen", () => {
    const { totals } = summaryOf({ faults: ["offline", "socket-cut", "offline"] });
    expect(totals.pairs).toEqual({
      "offline socket-cut": 1,
      "offline offline": 1,
      "socket-cut offline": 1,
    });
    expect(totals.faults).toEqual({ offline: 2, "socket-cut": 1 });
  });

  test("is the same whether one thread has run all seeds or several have", () => {
    const worlds: Partial<Outcome>[] = [
      { seed: 1, faults: ["offline", "tab-crashes"] },
      { seed: 2, failure: "Error: G2 is broken: silence", twins: { seen: 1, removed: 1 } },
    ];
    const merged = new Summary();
    for (const one of worlds) merged.merge(summaryOf(one).totals);
    expect(merged.totals).toEqual(summaryOf(...worlds).totals);
  });

  test("tells failures by the promise that was broken", () => {
    const summary = summaryOf(
      { seed: 3, failure: "Error: G5 is broken: prompts have run again" },
      { seed: 2, failure: "Error: G2 is broken: silence" },
      { seed: 4, failure: "TypeError: no promise at all" },
    );
    expect(summary.broken()).toEqual({ G5: 1, G2: 1, other: 1 });
    expect(summary.words().at(-1)).toBe("lost 1, misrouted 0, duplicated 1, unbounded 0, otherwise broken 1");
    expect(summary.firstFailure(10)?.seed).toBe(2);
    expect(summary.firstFailure(1)).toBeUndefined();
  });

  test("finds the pair that came least often", () => {
    expect(summaryOf({ faults: ["offline"] }).rarestPair().times).toBe(0);
  });
});
