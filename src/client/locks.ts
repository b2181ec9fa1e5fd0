import type { LocksLike } from "./platform.ts";

/**
 * Takes a Web Lock and keeps it until the returned function is called or the page ends.
 *
 * @param waitMs gives up after this and returns undefined; default: waits for ever
 */
export function holdLock(locks: LocksLike, name: string, waitMs?: number): Promise<(() => void) | undefined> {
  return new Promise((resolve) => {
    const options = waitMs === undefined ? {} : { signal: AbortSignal.timeout(waitMs) };
    locks
      .request(name, options, () => new Promise<void>((release) => resolve(release)))
      .catch(() => resolve(undefined));
  });
}

/** Calls back when whoever holds the lock has died or let go. @returns the function that ends the wait */
export function onLockFree(locks: LocksLike, name: string, freed: () => void): () => void {
  const waiting = new AbortController();
  locks.request(name, { signal: waiting.signal }, async () => freed()).catch(() => {}); // the wait was ended
  return () => waiting.abort();
}
