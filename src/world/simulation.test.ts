import { describe, expect, test } from "vitest";
import { faultKinds } from "./faults.ts";
import { type SimulationOptions, scheduleOf, simulate } from "./simulation.ts";

const seeds = Array.from({ length: 30 }, (_, place) => place + 1);
const failures = (options: SimulationOptions = {}, count = seeds.length) =>
  seeds.slice(0, count).flatMap((seed) => {
    const { failure } = simulate(seed, options);
    return failure === undefined ? [] : [`seed ${seed}: ${failure}`];
  });

describe("a world of tabs, hosts, servers, journal and network", { timeout: 60_000 }, () => {
  test("keeps every promise when nothing goes wrong", () => {
    expect(failures({ kinds: [] })).toEqual([]);
  });

  test("keeps every promise while tabs reload, crash, are closed and come back, and hosts die", () => {
    expect(
      failures({ kinds: ["tab-reloads", "tab-crashes", "tab-closed", "tab-duplicated", "host-killed"] }),
    ).toEqual([]);
  });

  test("keeps every promise while anything goes wrong, in any order", () => {
    expect(failures()).toEqual([]);
  });

  test("keeps every promise where more goes on at once", () => {
    expect(failures({ size: "crowded" }, 10)).toEqual([]);
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
