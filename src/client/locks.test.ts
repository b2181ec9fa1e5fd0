import { expect, test, vi } from "vitest";
import { createLocks } from "../world/locks.ts";
import { holdLock, onLockFree } from "./locks.ts";

test("a lock is held until it is let go of, and has no timer any more", async () => {
  vi.useFakeTimers();
  const { openRealm, isHeld } = createLocks();
  const { locks } = openRealm();
  const release = await holdLock(locks, "a", 1_000);
  expect([isHeld("a"), vi.getTimerCount()]).toEqual([true, 0]);
  const freed = vi.fn();
  onLockFree(locks, "a", freed);
  expect(freed).not.toHaveBeenCalled();
  release?.();
  await vi.waitFor(() => expect(freed).toHaveBeenCalledOnce());
  vi.useRealTimers();
});

test("a lock that another page holds is waited for so long, and not longer", async () => {
  vi.useFakeTimers();
  const { openRealm, waitingFor } = createLocks();
  await holdLock(openRealm().locks, "a", 1_000);
  const second = holdLock(openRealm().locks, "a", 1_000);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await second).toBeUndefined();
  expect(waitingFor("a")).toBe(0);
  vi.useRealTimers();
});

test("locks that are refused are an error, not somebody else's", async () => {
  const refused = { request: () => Promise.reject(new Error("SecurityError")) };
  await expect(holdLock(refused, "a", 1_000)).rejects.toThrow("SecurityError");
});

test("a wait that has ended is not told", async () => {
  const { openRealm } = createLocks();
  const { locks } = openRealm();
  const release = await holdLock(locks, "a", 1_000);
  const freed = vi.fn();
  const stop = onLockFree(locks, "a", freed);
  stop();
  release?.();
  await locks.request("a", () => {});
  expect(freed).not.toHaveBeenCalled();
});
