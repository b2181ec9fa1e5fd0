import { describe, expect, test } from "vitest";
import { allKinds, schedule } from "./schedule.ts";

const plan = { seed: 7, lastsMs: 60_000, everyMs: 500 };

describe("a schedule", () => {
  test("is the same for the same seed, and another for another", () => {
    expect(schedule(plan)).toEqual(schedule(plan));
    expect(schedule(plan)).not.toEqual(schedule({ ...plan, seed: 8 }));
  });

  test("lasts as long as it should, with pauses as long as asked for", () => {
    const steps = schedule({ ...plan, lastsMs: 600_000 });
    const sum = steps.reduce((total, { afterMs }) => total + afterMs, 0);
    expect(sum).toBeGreaterThan(590_000);
    expect(sum).toBeLessThan(600_000);
    expect(sum / steps.length).toBeGreaterThan(400);
    expect(sum / steps.length).toBeLessThan(600);
  });

  test("has every kind of fault, where it is long enough", () => {
    const kinds = new Set(schedule({ ...plan, lastsMs: 600_000 }).map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual([...allKinds].sort());
  });

  test("has only the kinds that are asked for", () => {
    const steps = schedule({ ...plan, kinds: ["reload", "cut"] });
    expect(new Set(steps.map(({ kind }) => kind))).toEqual(new Set(["reload", "cut"]));
  });
});
