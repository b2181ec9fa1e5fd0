import { nanoid } from "nanoid";
import { ComfyTabsError } from "../protocol/errors.ts";
import type { KnownLock, LockState } from "../protocol/session-api.ts";
import type { LockOptions, ServerLock } from "./api.ts";
import { type Calls, checkSignal, closedError, type Request, within } from "./calls.ts";
import { jsonOf } from "./options.ts";

/** So long a host keeps a lock of a page that is gone; after that there is nothing left to release. */
const graceMs = 5_000;

/** The page's locks on servers, across hosts: a new one is told what was held and what is waited for. */
export interface ServerLocks {
  /** @param owner the handle that asks @throws {@link ComfyTabsError} see `Session.lockServer` */
  lock(
    server: string | readonly string[] | undefined,
    options: LockOptions,
    owner: object,
  ): Promise<ServerLock | null>;
  /** Lets go of what one handle on the page holds, and ends what it waits for. */
  releaseAll(owner: object): Promise<unknown>;
  /** For the next hello. */
  known(): Request<KnownLock>[];
  /** Whether any is waited for, of which only the host can tell. */
  waits(): boolean;
  takeEvent(state: LockState): void;
  /** A new host's word on each that it was told of: what it does not name is lost. */
  takeWelcome(states: readonly LockState[]): void;
}

interface Entry {
  readonly request: Request<KnownLock>;
  readonly owner: object;
  /** The host has not answered the call yet: it is repeated by itself. */
  at: "asked" | "waiting" | "held";
  serverIds: readonly string[];
  /** @param isThere false where it was wanted only if available */
  granted(isThere: boolean): void;
  lost(): void;
  failed(error: ComfyTabsError): void;
}

export function createServerLocks(call: Calls["call"]): ServerLocks {
  const entries = new Map<string, Entry>();

  const unlock = (lockId: string): Promise<unknown> =>
    call("unlockServer", [lockId], { deadlineMs: graceMs });

  const letGo = (lockId: string): Promise<unknown> =>
    entries.delete(lockId) ? unlock(lockId) : Promise.resolve();

  /** Nobody here wants what a host has all the same. */
  const disown = (lockId: string): void => void unlock(lockId).catch(() => {}); // it ends with the host, too

  function take({ lockId, state, serverIds }: LockState): void {
    const entry = entries.get(lockId);
    if (!entry) return;
    if (state === "lost") {
      lose(entry);
      return;
    }
    if (entry.at === "held") return;
    entry.serverIds = serverIds;
    if (state === "waiting") entry.at = "waiting";
    else if (state === "granted") {
      entry.at = "held";
      entry.granted(true);
    } else if (state === "unavailable") {
      entries.delete(lockId);
      entry.granted(false);
    } else {
      const message = "Whoever has this lock now waits for one of this tab's: release that first.";
      entry.failed(new ComfyTabsError("would-deadlock", message, { serverIds }));
    }
  }

  function lose({ request: { lockId }, lost, failed }: Entry): void {
    entries.delete(lockId);
    lost();
    failed(new ComfyTabsError("host-lost", "The host died while the lock was waited for.", {}));
  }

  return {
    async lock(server, { mode = "shared", ifAvailable, steal, signal }, owner) {
      const servers = typeof server === "string" ? [server] : server;
      checkSignal(signal);
      const lockId = nanoid();
      const request = { lockId, mode, servers, ifAvailable, steal };
      const json = jsonOf(request);
      const entry: Entry = {
        request,
        owner,
        at: "asked",
        serverIds: [],
        lost() {},
        granted() {},
        failed() {},
      };
      const lost = new Promise<void>((resolve) => {
        entry.lost = resolve;
      });
      const granted = new Promise<boolean>((resolve, reject) => {
        entry.granted = resolve;
        entry.failed = reject;
      });
      entries.set(lockId, entry);
      call<LockState>("lockServer", [json]).then((state) => {
        // Given up while there was no host: the call was repeated at the next one.
        if (!entries.has(lockId)) disown(lockId);
        else if (entry.at === "asked") take(state);
      }, entry.failed);
      try {
        if (!(await within(granted, { signal }))) return null;
      } catch (error) {
        letGo(lockId).catch(() => {}); // it ends with the host, too
        throw error;
      }
      return {
        serverIds: entry.serverIds,
        lost,
        async release() {
          await letGo(lockId);
        },
      };
    },
    known: () =>
      [...entries.values()].flatMap(({ request: { lockId, mode, servers }, at, serverIds }) =>
        at === "asked"
          ? []
          : [
              {
                lockId,
                mode,
                servers: at === "held" ? serverIds : servers,
                held: at === "held",
              },
            ],
      ),
    releaseAll: (owner) =>
      Promise.allSettled(
        [...entries].map(async ([lockId, entry]) => {
          if (entry.owner !== owner) return;
          const unlocked = letGo(lockId);
          if (entry.at !== "held") entry.failed(closedError());
          await unlocked;
        }),
      ),
    waits: () => [...entries.values()].some(({ at }) => at !== "held"),
    takeEvent: take,
    takeWelcome(states) {
      const named = new Map(states.map((state) => [state.lockId, state]));
      for (const [lockId, entry] of entries) {
        if (entry.at === "asked") continue;
        const state = named.get(lockId);
        if (state && !(entry.at === "held" && state.state !== "granted")) take(state);
        else lose(entry);
      }
      for (const { lockId } of states) if (!entries.has(lockId)) disown(lockId);
    },
  };
}
