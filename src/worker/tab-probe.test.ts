import { afterEach, describe, expect, test, vi } from "vitest";
import type { TabId } from "../protocol/ids.ts";
import { identityLock, workerName } from "../protocol/names.ts";
import { isTabThere } from "./tab-probe.ts";

const identity = identityLock("atelier", "anna" as TabId);
const name = workerName("atelier", 2);

afterEach(() => void vi.useRealTimers());

describe("a tab", () => {
  test("is there while somebody holds its identity's lock", async () => {
    const held = new Set([identity]);
    const means = { name, isLockFree: async (lock: string) => !held.has(lock), openChannel: undefined };
    expect(await isTabThere(means, "anna")).toBe(true);
    expect(await isTabThere(means, "ben")).toBe(false);
  });

  test("is not known to be there where locks are refused, nor where there is no way to ask", async () => {
    const isLockFree = () => Promise.reject(new Error("SecurityError"));
    expect(await isTabThere({ name, isLockFree, openChannel: undefined }, "anna")).toBe(false);
    expect(await isTabThere({ name, isLockFree: undefined, openChannel: undefined }, "anna")).toBe(false);
  });

  test("objects without locks to whoever asks for its identity, or is not there", async () => {
    const openChannel = (channel: string) => new BroadcastChannel(channel);
    const page = openChannel(identity);
    page.onmessage = ({ data }: MessageEvent<number>) => {
      if (data > 0) page.postMessage(0);
    };
    const means = { name, isLockFree: undefined, openChannel };
    expect(await isTabThere(means, "anna")).toBe(true);
    page.close();
    vi.useFakeTimers();
    const answer = isTabThere(means, "anna");
    vi.advanceTimersByTime(500);
    expect(await answer).toBe(false);
  });
});
