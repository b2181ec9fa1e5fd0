import { describe, expect, test } from "vitest";
import { createClock } from "./clock.ts";

describe("the clock", () => {
  test("stands still until it is told to go on", () => {
    const clock = createClock(1000);
    const ran: string[] = [];
    clock.after(0, () => ran.push("at once"));
    expect(clock.now).toBe(1000);
    expect(ran).toEqual([]);
    expect(clock.nextAt).toBe(1000);
    clock.advanceTo(1000);
    expect(ran).toEqual(["at once"]);
    expect(clock.nextAt).toBeUndefined();
  });

  test("runs what is due in the order of its time, and of its asking where the time is the same", () => {
    const clock = createClock(0);
    const ran: string[] = [];
    for (const [ms, name] of [
      [30, "late"],
      [10, "early, asked first"],
      [10, "early, asked second"],
      [20, "between"],
      [10, "early, asked third"],
    ] as const)
      clock.after(ms, () => ran.push(name));
    clock.advanceTo(20);
    expect(ran).toEqual(["early, asked first", "early, asked second", "early, asked third", "between"]);
    clock.advanceTo(30);
    expect(ran.at(-1)).toBe("late");
  });

  test("shows what runs its own due time, and runs what that asks for on the same way", () => {
    const clock = createClock(0);
    const seen: number[] = [];
    clock.after(5, () => {
      seen.push(clock.now);
      clock.after(5, () => seen.push(clock.now));
      clock.after(100, () => seen.push(clock.now));
    });
    clock.advanceTo(50);
    expect(seen).toEqual([5, 10]);
    expect(clock.now).toBe(50);
    expect(clock.nextAt).toBe(105);
  });

  test("forgets what was undone, also for the question when something is due next", () => {
    const clock = createClock(0);
    const ran: string[] = [];
    const undo = clock.after(1, () => ran.push("undone"));
    clock.after(2, () => ran.push("kept"));
    undo();
    expect(clock.nextAt).toBe(2);
    clock.advanceTo(10);
    undo();
    expect(ran).toEqual(["kept"]);
  });

  test("never goes back", () => {
    const clock = createClock(100);
    clock.advanceTo(50);
    expect(clock.now).toBe(100);
    clock.after(-20, () => {});
    expect(clock.nextAt).toBe(100);
  });

  test("keeps its order with thousands due", () => {
    const clock = createClock(0);
    const ran: number[] = [];
    for (let place = 0; place < 5000; place += 1) {
      const at = (place * 7919) % 1009;
      clock.after(at, () => ran.push(at));
    }
    clock.advanceTo(2000);
    expect(ran).toHaveLength(5000);
    expect(ran).toEqual([...ran].sort((a, b) => a - b));
  });
});
