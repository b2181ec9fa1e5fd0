import { nanoid } from "nanoid";
import type { PortId } from "../protocol/ids.ts";
import { tabLock } from "../protocol/names.ts";
import type { LocksLike } from "./platform.ts";

/**
 * Takes a Web Lock and keeps it until the returned function is called or the page ends.
 *
 * @param waitMs gives up after this and returns undefined
 * @throws what the browser says where locks are refused, e.g. in a sandboxed frame
 */
export function holdLock(locks: LocksLike, name: string, waitMs: number): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const impatience = new AbortController();
    const timer = setTimeout(() => impatience.abort(), waitMs);
    locks
      .request(name, { signal: impatience.signal }, () => {
        clearTimeout(timer);
        return new Promise<void>((release) => resolve(release));
      })
      .catch((error: unknown) => {
        clearTimeout(timer);
        if (impatience.signal.aborted) resolve(undefined);
        else reject(error);
      });
  });
}

/**
 * Takes a name where there are no locks: whoever has it says so. Of two that ask at once, one gets it.
 *
 * @param waitMs for an objection; 0 where nobody can have one
 */
export function askFor(channel: BroadcastChannel, waitMs: number): Promise<(() => void) | undefined> {
  const release = (): void => channel.close();
  const turn = Math.random();
  let held = waitMs === 0;
  return new Promise((resolve) => {
    channel.onmessage = ({ data }: MessageEvent<number>) => {
      // A question is a turn, the objection 0: before everybody's.
      if (data > (held ? 0 : turn)) channel.postMessage(0);
      else if (!held) {
        release();
        resolve(undefined);
      }
    };
    if (held) {
      resolve(release);
      return;
    }
    channel.postMessage(turn);
    setTimeout(() => {
      held = true;
      resolve(release);
    }, waitMs);
  });
}

/** Takes the lock from a holder that hangs, and lets go of it: whoever waits for it is told. */
export function stealLock(locks: LocksLike, name: string): void {
  locks.request(name, { steal: true }, async () => {}).catch(() => {}); // then each finds out by itself
}

/**
 * Calls back when whoever holds the lock has died or let go. All who wait hear it at once: one that stands still keeps
 * it from nobody.
 *
 * @returns the function that ends the wait
 */
export function onLockFree(locks: LocksLike, name: string, freed: () => void): () => void {
  const waiting = new AbortController();
  locks.request(name, { signal: waiting.signal, mode: "shared" }, async () => freed()).catch(() => {}); // the wait was ended
  return () => waiting.abort();
}

/** A port's id, and the lock that tells the host of its end. */
export interface PortLock {
  readonly portId: PortId;
  /**
   * Asks for it, the first time.
   *
   * @returns whether it is held. False where locks are refused or broken: the host is told that there is none
   */
  hold(): Promise<boolean>;
  release(): Promise<void>;
}

/** Nobody else has this name: a lock manager that does not grant it is broken, and done without. */
const patienceMs = 2_000;

export function createPortLock(locks: LocksLike | undefined): PortLock {
  const portId = nanoid() as PortId;
  let held: ReturnType<typeof holdLock> | undefined;
  return {
    portId,
    async hold() {
      held ??= locks && holdLock(locks, tabLock(portId), patienceMs).catch(() => undefined);
      return !!(await held);
    },
    async release() {
      (await held)?.();
    },
  };
}
