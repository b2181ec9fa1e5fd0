import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createAlarm } from "./timers.ts";

describe("the alarm", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const started = (drift = 0) => {
    const rung: number[] = [];
    const began = Date.now();
    const now = () => Date.now() - began - drift;
    return { rung, alarm: createAlarm(now, () => rung.push(now())) };
  };

  test("rings once, at its time", () => {
    const { rung, alarm } = started();
    alarm.set(100.5);
    vi.advanceTimersByTime(100);
    expect(rung).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(rung).toEqual([101]);
  });

  test("rings only at the time that was set last", () => {
    const { rung, alarm } = started();
    alarm.set(100);
    alarm.set(300);
    vi.advanceTimersByTime(1000);
    expect(rung).toEqual([300]);
    alarm.set(2000);
    alarm.set(undefined);
    vi.advanceTimersByTime(5000);
    expect(rung).toEqual([300]);
  });

  test("does not ring early because its timer fires early", () => {
    const began = Date.now();
    let drift = 0;
    const rung: number[] = [];
    const now = () => Date.now() - began - drift;
    const alarm = createAlarm(now, () => rung.push(now()));
    alarm.set(100);
    drift = 3;
    vi.advanceTimersByTime(102);
    expect(rung).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(rung).toEqual([100]);
  });

  test("rings at once for a time that has passed", () => {
    const { rung, alarm } = started();
    alarm.set(-5);
    vi.advanceTimersByTime(0);
    expect(rung).toEqual([0]);
  });

  test("does not take a month for no time at all", () => {
    const { rung, alarm } = started();
    alarm.set(2 ** 31 + 1000);
    vi.advanceTimersByTime(2 ** 31 - 1);
    expect(rung).toEqual([]);
    vi.advanceTimersByTime(1001);
    expect(rung).toHaveLength(1);
  });
});
