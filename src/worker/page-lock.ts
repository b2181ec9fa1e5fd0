import type { PortId } from "../protocol/ids.ts";
import { tabLock } from "../protocol/names.ts";
import type { After } from "./timers.ts";

/** The part of `navigator.locks` that is used. */
export interface LocksLike {
  request(
    name: string,
    options: { readonly mode?: "shared"; readonly ifAvailable?: boolean; readonly steal?: boolean },
    /** `null`: it is not available. */
    granted: (lock: unknown) => void | Promise<void>,
  ): Promise<unknown>;
}

/** The lock of the page behind one port: who is granted it is told of the page's end. */
export interface PageLock {
  /** Whether this port may go by that id: it has had none, or this one. */
  names(portId: string): boolean;
  /** The page has it: ours to wait for, from before anything else of this port is handled. */
  watch(): void;
  /** The page has asked for it, and says so when it has it. */
  expect(): void;
  /** The port is closed. */
  forget(): void;
}

export interface PageLockMeans {
  readonly locks: LocksLike | undefined;
  readonly after: After;
  readonly log: (level: "warn", message: string) => void;
}

/** A page that is awake has its lock within milliseconds, or knows after two seconds that it will not get it. */
const patienceMs = 10_000;

/** @param silent it has not said that it has its lock: it may be gone, or frozen */
export function createPageLock(
  { locks, after, log }: PageLockMeans,
  gone: () => void,
  silent: () => void,
): PageLock {
  let id: string | undefined;
  let isWatched = false;
  let forget = (): void => {};
  return {
    names(portId) {
      id ??= portId;
      return id === portId;
    },
    watch() {
      forget();
      // A worker that the browser has put behind the old ports knows no page.
      if (isWatched || id === undefined) return;
      isWatched = true;
      locks
        ?.request(tabLock(id as PortId), {}, gone)
        .catch((thrown: unknown) => log("warn", `no lock of a tab: ${String(thrown)}`));
    },
    // Our request could be granted before the page's has arrived, and would say that the page is dead.
    expect() {
      forget();
      forget = after(patienceMs, silent);
    },
    forget: () => forget(),
  };
}
