import { present } from "../comfy/json.ts";
import type { TabRequest } from "../core/facts.ts";
import type { Answer, KnownLock, LockState } from "../protocol/session-api.ts";

/** What an app wants of a server, and for how long. */
export interface LockWish {
  readonly mode: KnownLock["mode"];
  readonly servers: readonly string[] | undefined;
  readonly ifAvailable?: boolean;
  readonly steal?: boolean;
  /** When its signal ends the wait. */
  readonly patienceMs?: number;
  /** Undefined: until it is told to let go. */
  readonly holdMs?: number;
  /** For a work that needs whatever else the page still waits for: not let go before. */
  readonly isNested?: boolean;
}

/** A lock in the eyes of the page that asked for it. */
export interface PageLock {
  readonly request: KnownLock;
  at: "asked" | "waiting" | "held";
  serverIds: readonly string[];
  /** When it was granted. */
  since: number;
}

/** A page's locks on servers, as the client library keeps them (client/server-locks.ts). */
export interface PageLocks {
  readonly entries: ReadonlyMap<string, PageLock>;
  want(lockId: string, wish: LockWish): void;
  letGo(lockId: string): void;
  /** From here on the app keeps nothing that it was to keep until told. */
  letGoOfAll(): void;
  /** For the next hello. */
  known(): KnownLock[];
  takeEvent(state: LockState): void;
  /** @returns what was held, and is not any more */
  takeWelcome(states: readonly LockState[]): PageLock[];
}

export interface PageLocksMeans {
  call(request: TabRequest, deadlineMs: number, done: (answer: Answer<unknown>) => void): void;
  later(ms: number, run: () => void): void;
  now(): number;
}

const [callMs, unlockMs, againMs] = [30_000, 5_000, 1_000];

export function createPageLocks({ call, later, now }: PageLocksMeans): PageLocks {
  const entries = new Map<string, PageLock>();
  const kept = new Set<string>();
  const wishes = new Map<string, LockWish>();
  let isBrief = false;

  const unlock = (lockId: string): void => call({ method: "unlockServer", lockId }, unlockMs, () => {});

  function letGo(lockId: string): void {
    if (entries.delete(lockId)) unlock(lockId);
  }

  /** Its time is up. Who waits for each other would do so for ever. */
  function finish(lockId: string): void {
    const waits = [...entries.values()].some(({ at }) => at !== "held");
    if (waits && wishes.get(lockId)?.isNested) later(againMs, () => finish(lockId));
    else letGo(lockId);
  }

  function granted(lockId: string, entry: PageLock): void {
    entry.at = "held";
    entry.since = now();
    const { holdMs } = wishes.get(lockId) ?? {};
    if (holdMs !== undefined) later(holdMs, () => finish(lockId));
    else if (isBrief) finish(lockId);
    else kept.add(lockId);
  }

  function take({ lockId, state, serverIds }: LockState): void {
    const entry = entries.get(lockId);
    if (!entry || entry.at === "held") {
      if (state === "lost") entries.delete(lockId);
      return;
    }
    entry.serverIds = serverIds;
    if (state === "waiting") entry.at = "waiting";
    else if (state === "granted") granted(lockId, entry);
    else entries.delete(lockId);
  }

  return {
    entries,
    want(lockId, wish) {
      const { mode, servers, ifAvailable, steal, patienceMs } = wish;
      const request: KnownLock = { lockId, mode, ...present({ servers, ifAvailable, steal }) };
      const entry: PageLock = { request, at: "asked", serverIds: [], since: 0 };
      entries.set(lockId, entry);
      wishes.set(lockId, wish);
      if (patienceMs !== undefined)
        later(patienceMs, () => {
          if (entry.at !== "held") letGo(lockId);
        });
      call({ method: "lockServer", lock: request }, callMs, (answer) => {
        if ("error" in answer || !entries.has(lockId)) {
          entries.delete(lockId);
          unlock(lockId);
        } else {
          const state = answer.ok as LockState;
          if (state.state === "unavailable") entries.delete(lockId);
          else if (entry.at === "asked") take(state);
        }
      });
    },
    letGo,
    letGoOfAll() {
      isBrief = true;
      for (const lockId of kept) finish(lockId);
    },
    known: () =>
      [...entries.values()].flatMap(({ request: { lockId, mode, servers }, at, serverIds }) =>
        at === "asked"
          ? []
          : [
              {
                lockId,
                mode,
                ...present({ servers: at === "held" ? serverIds : servers }),
                held: at === "held",
              },
            ],
      ),
    takeEvent: take,
    takeWelcome(states) {
      const named = new Map(states.map((state) => [state.lockId, state]));
      const lost: PageLock[] = [];
      for (const [lockId, entry] of entries) {
        if (entry.at === "asked") continue;
        const state = named.get(lockId);
        if (state && !(entry.at === "held" && state.state !== "granted")) take(state);
        else {
          entries.delete(lockId);
          if (entry.at === "held") lost.push(entry);
        }
      }
      for (const { lockId } of states) if (!entries.has(lockId)) unlock(lockId);
      return lost;
    },
  };
}
