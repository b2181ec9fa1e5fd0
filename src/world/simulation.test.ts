import { describe, expect, test } from "vitest";
import { type FaultKind, faultKinds } from "./faults.ts";
import { scheduleOf, simulate } from "./simulation.ts";

const seeds = Array.from({ length: 30 }, (_, place) => place + 1);
const failures = (kinds?: readonly FaultKind[]) =>
  seeds.flatMap((seed) => {
    const { failure } = simulate(seed, kinds ? { kinds } : {});
    return failure === undefined ? [] : [`seed ${seed}: ${failure}`];
  });

describe("a world of tabs, hosts, servers, journal and network", { timeout: 60_000 }, () => {
  test("keeps every promise when nothing goes wrong", () => {
    expect(failures([])).toEqual([]);
  });

  test("keeps every promise while tabs reload, crash, are closed and come back, and hosts die", () => {
    expect(failures(["tab-reloads", "tab-crashes", "tab-closed", "tab-duplicated", "host-killed"])).toEqual(
      [],
    );
  });

  test("keeps every promise while anything goes wrong, in any order", () => {
    expect(failures()).toEqual([]);
  });

  test("keeps every promise where more goes on at once", () => {
    const failed = seeds.slice(0, 10).flatMap((seed) => simulate(seed, { size: "crowded" }).failure ?? []);
    expect(failed).toEqual([]);
    const crowd = seeds.map((seed) => scheduleOf(seed, faultKinds, "crowded"));
    expect(Math.max(...crowd.map(({ tabs }) => tabs))).toBe(7);
    expect(Math.max(...crowd.map(({ sites }) => sites))).toBe(3);
  });

  test("comes to the same end for the same seed", () => {
    expect(simulate(7)).toEqual(simulate(7));
  });

  test("plans every kind of fault", () => {
    const planned = new Set<string>();
    for (let seed = 1; seed < 400; seed += 1) for (const { kind } of scheduleOf(seed).acts) planned.add(kind);
    expect(faultKinds.filter((kind) => !planned.has(kind))).toEqual([]);
  });
});
