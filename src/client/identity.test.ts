import { afterEach, describe, expect, test, vi } from "vitest";
import type { TabId } from "../protocol/ids.ts";
import { identityKey, identityLock } from "../protocol/names.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import { createLocks } from "../world/locks.ts";
import { createIdentity, type Identity, newest } from "./identity.ts";
import type { LocksLike, Platform } from "./platform.ts";
import { copyOf, memoryStorage } from "./testing/storage.ts";

const known = (number: number): KnownTask => ({
  taskId: `task-${number}`,
  promptId: `prompt-${number}`,
  lastSeq: 3,
  settled: false,
});

const platform = (storage: () => Storage, locks?: LocksLike): Platform => ({
  locks,
  whenShown: undefined,
  openChannel: undefined,
  frame: "",
  storage,
  sharedStorage: storage,
  makeShared: undefined,
  makeSolo: undefined,
  onPageEvent: () => () => {},
  askForAccess: async () => {},
  randomBytes: (count) => new Uint8Array(count),
});

async function claimIdentity(page: Platform, name: string): Promise<Identity> {
  const identity = createIdentity(page, name);
  await identity.keep();
  return identity;
}

afterEach(() => {
  vi.useRealTimers();
});

describe("a tab", () => {
  test("keeps its id, its secret and its tasks across a reload", async () => {
    const [storage, { openRealm }] = [memoryStorage(), createLocks()];
    const page = openRealm();
    const first = await claimIdentity(
      platform(() => storage, page.locks),
      "app",
    );
    first.save([known(1)]);
    page.die();
    const next = await claimIdentity(
      platform(() => storage, openRealm().locks),
      "app",
    );
    expect([next.tabId, next.secret, next.tasks]).toEqual([first.tabId, first.secret, [known(1)]]);
  });

  test("writes many changes down at once, and none when others may be it", async () => {
    vi.useFakeTimers();
    const storage = memoryStorage();
    const page = platform(() => storage);
    const identity = await claimIdentity(page, "app");
    const setItem = vi.spyOn(storage, "setItem");
    for (let number = 1; number <= 9; number += 1) identity.saveSoon(() => [known(number)]);
    vi.advanceTimersByTime(1_000);
    expect(setItem).toHaveBeenCalledTimes(1);
    identity.saveSoon(() => [known(2)]);
    identity.release();
    vi.advanceTimersByTime(1_000);
    expect((await claimIdentity(page, "app")).tasks).toEqual([known(1)]);
  });

  test("is new until a host has heard of it, and does not wait for a name that nobody else can have", async () => {
    const storage = memoryStorage();
    const never: LocksLike = { request: () => new Promise(() => {}) };
    const identity = await claimIdentity(
      platform(() => storage, never),
      "app",
    );
    expect(identity.isNew).toBe(true);
    identity.introduced();
    expect(identity.isNew).toBe(false);
    const reloaded = await claimIdentity(
      platform(() => storage),
      "app",
    );
    expect([reloaded.tabId, reloaded.isNew]).toEqual([identity.tabId, false]);
  });

  test("remembers itself again where somebody has cleared its storage", async () => {
    const storage = memoryStorage();
    const page = platform(() => storage);
    const first = await claimIdentity(page, "app");
    first.save([known(1)]);
    storage.clear();
    first.save([known(1)]);
    const next = await claimIdentity(page, "app");
    expect([next.tabId, next.secret, next.tasks]).toEqual([first.tabId, first.secret, [known(1)]]);
  });

  test("that reloads slowly waits for its old page to let go", async () => {
    const [storage, { openRealm }] = [memoryStorage(), createLocks()];
    const first = await claimIdentity(
      platform(() => storage, openRealm().locks),
      "app",
    );
    const next = claimIdentity(
      platform(() => storage, openRealm().locks),
      "app",
    );
    await Promise.resolve();
    first.release();
    expect((await next).tabId).toBe(first.tabId);
  });

  test("that was duplicated has its own id within 2 s, and none of the other's tasks", async () => {
    vi.useFakeTimers();
    const [storage, { openRealm, isHeld }] = [memoryStorage(), createLocks()];
    const original = await claimIdentity(
      platform(() => storage, openRealm().locks),
      "app",
    );
    original.save([known(1)]);
    const copy = copyOf(storage);
    const claimed = claimIdentity(
      platform(() => copy, openRealm().locks),
      "app",
    );
    await vi.advanceTimersByTimeAsync(2_000);
    const duplicate = await claimed;
    expect(duplicate.tabId).not.toBe(original.tabId);
    expect(duplicate.secret).not.toBe(original.secret);
    expect(duplicate.tasks).toEqual([]);
    expect(copy.getItem(identityKey("app"))).toContain(duplicate.tabId);
    expect(isHeld(identityLock("app", duplicate.tabId as TabId))).toBe(true);
  });

  test("is another one for another name", async () => {
    const storage = memoryStorage();
    const [one, other] = [
      await claimIdentity(
        platform(() => storage),
        "one",
      ),
      await claimIdentity(
        platform(() => storage),
        "other",
      ),
    ];
    expect(one.tabId).not.toBe(other.tabId);
  });

  test("does without a storage that is denied or full", async () => {
    const denied = await claimIdentity(
      platform(() => {
        throw new Error("SecurityError");
      }),
      "app",
    );
    const full = memoryStorage();
    full.setItem = () => {
      throw new Error("QuotaExceededError");
    };
    const unsaved = await claimIdentity(
      platform(() => full),
      "app",
    );
    expect([denied.tabId.length, unsaved.tabId.length]).toEqual([21, 21]);
    expect([denied.news(), unsaved.news()]).toEqual([undefined, undefined]);
  });

  test("starts anew where the storage holds nothing of sense", async () => {
    for (const nonsense of [
      "",
      "{",
      "null",
      "[]",
      '{"tabId":1}',
      '{"tabId":"a","secret":"b","tasks":[null]}',
    ]) {
      const storage = memoryStorage([[identityKey("app"), nonsense]]);
      const { tabId, tasks } = await claimIdentity(
        platform(() => storage),
        "app",
      );
      expect([tabId.length, tasks]).toEqual([21, []]);
    }
  });

  test("keeps its id where locks are refused: nobody can have taken it", async () => {
    const storage = memoryStorage();
    const refused: LocksLike = { request: () => Promise.reject(new Error("SecurityError")) };
    const first = await claimIdentity(
      platform(() => storage, refused),
      "app",
    );
    const next = await claimIdentity(
      platform(() => storage, refused),
      "app",
    );
    expect(next.tabId).toBe(first.tabId);
    expect(await first.claim()).toBe(true);
  });

  test("is new, and nothing fails for it, where storage is denied and channels are refused, as in Firefox", async () => {
    const denied = (): never => {
      throw new DOMException("The operation is insecure.", "SecurityError");
    };
    const identity = await claimIdentity({ ...platform(denied), openChannel: denied }, "app");
    expect([identity.isNew, identity.tabId.length]).toEqual([true, 21]);
  });

  test("sees what its next page has written, and not what it wrote itself", async () => {
    const storage = memoryStorage();
    const page = await claimIdentity(
      platform(() => storage),
      "app",
    );
    page.save([known(1)]);
    expect(page.news()).toBeUndefined();
    const next = await claimIdentity(
      platform(() => storage),
      "app",
    );
    next.save([known(1), known(2)]);
    expect(page.news()).toEqual([known(1), known(2)]);
    expect(page.news()).toBeUndefined();
  });
});

describe("what a tab remembers of its tasks", () => {
  const many = Array.from({ length: 5_000 }, (_, number) => known(number));

  test("is bounded by their number, oldest first", () => {
    const kept = newest(many);
    expect([kept.length, kept[0], kept.at(-1)]).toEqual([2_000, known(3_000), known(4_999)]);
  });

  test("is above all what has told most: a new host has to count on from there", () => {
    const told = { ...known(0), lastSeq: 1_200 };
    expect(newest([told, ...many])[0]).toBe(told);
    const over = many.map((task) => ({ ...task, lastSeq: 9, settled: true }));
    const open = { taskId: "open", lastSeq: 1, settled: false };
    expect(newest([...over, open]).at(-1)).toBe(open);
  });

  test("is bounded by its size: a hello has to fit into one argument", () => {
    const kept = newest(many.map((task) => ({ ...task, label: "x".repeat(500) })));
    expect(kept.at(-1)?.taskId).toBe("task-4999");
    expect(JSON.stringify(kept).length).toBeLessThan(600_000);
    expect(kept.length).toBeGreaterThan(500);
  });
});
