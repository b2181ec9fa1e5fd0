import { describe, expect, test } from "vitest";
import { createAgenda } from "./agenda.ts";

function planned() {
  const agenda = createAgenda();
  const happened: string[] = [];
  const plan = (ms: number, name: string) =>
    agenda.after(ms, () => happened.push(`${name} at ${agenda.now}`));
  const runAll = (): void => {
    while (agenda.nextAt !== undefined) agenda.runNext();
  };
  return { agenda, happened, plan, runAll };
}

describe("an agenda", () => {
  test("runs what is due in the order of its time, and what is due at one time in the order it was asked for", () => {
    const { happened, plan, runAll } = planned();
    for (const [ms, name] of [
      [30, "c"],
      [10, "a"],
      [20, "b"],
      [10, "a2"],
      [10, "a3"],
    ] as const)
      plan(ms, name);
    runAll();
    expect(happened).toEqual(["a at 10", "a2 at 10", "a3 at 10", "b at 20", "c at 30"]);
  });

  test("keeps the order of one time whenever it was asked for, which a sum of delays would round away", () => {
    const { agenda, happened, plan, runAll } = planned();
    agenda.at(0.3, () => happened.push("first"));
    plan(0.1, "now");
    agenda.runNext();
    agenda.at(0.3, () => happened.push("second"));
    runAll();
    expect(happened).toEqual(["now at 0.1", "first", "second"]);
  });

  test("leaves out what was taken back", () => {
    const { agenda, happened, plan, runAll } = planned();
    const undo = plan(5, "never");
    plan(7, "later");
    undo();
    expect(agenda.nextAt).toBe(7);
    runAll();
    expect(happened).toEqual(["later at 7"]);
  });

  test("runs late what was due while the computer slept", () => {
    const { agenda, happened, plan, runAll } = planned();
    plan(10, "due");
    agenda.passTo(1_000);
    expect(agenda.nextAt).toBe(1_000);
    runAll();
    expect(happened).toEqual(["due at 1000"]);
  });
});
