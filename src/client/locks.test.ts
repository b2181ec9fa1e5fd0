import { expect, test, vi } from "vitest";
import { createLocks } from "../world/locks.ts";
import { askFor, holdLock, onLockFree } from "./locks.ts";
import { createChannels } from "./testing/channels.ts";

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

test("the end of a holder is told to all at once, also behind one who stands still", async () => {
  const { openRealm } = createLocks();
  const [host, frozen, page] = [openRealm(), openRealm(), openRealm()];
  void holdLock(host.locks, "a", 1_000);
  // It has been granted the lock, and does not get to letting go of it.
  onLockFree(
    { request: (name, how) => frozen.locks.request(name, how, () => new Promise(() => {})) },
    "a",
    () => {},
  );
  const freed = vi.fn();
  onLockFree(page.locks, "a", freed);
  await Promise.resolve();
  host.die();
  await expect.poll(() => freed.mock.calls.length).toBe(1);
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

test("a name that is asked for is had when nobody objects, and kept until it is let go of", async () => {
  vi.useFakeTimers();
  const { open, listening } = createChannels();
  const first = askFor(open("a"), 500);
  await vi.advanceTimersByTimeAsync(500);
  const release = await first;
  const second = askFor(open("a"), 500);
  const other = askFor(open("b"), 500);
  await vi.advanceTimersByTimeAsync(500);
  expect([await second, typeof (await other)]).toEqual([undefined, "function"]);
  release?.();
  const third = askFor(open("a"), 500);
  await vi.advanceTimersByTimeAsync(500);
  expect([typeof (await third), listening.size]).toEqual(["function", 2]);
  vi.useRealTimers();
});

test("a name that two ask for at once is had by one", async () => {
  vi.useFakeTimers();
  const { open } = createChannels();
  const both = [askFor(open("a"), 500), askFor(open("a"), 500)];
  await vi.advanceTimersByTimeAsync(500);
  expect((await Promise.all(both)).filter(Boolean)).toHaveLength(1);
  vi.useRealTimers();
});
