import { generationKey } from "../protocol/names.ts";
import type { Platform } from "./platform.ts";

/**
 * Which worker of a name the tabs of this origin use. One that hangs blocks its name for ever, so they move
 * on to the next, and a tab that opens later has to know. There is one for all of a page's connections to a name.
 */
export interface Generation {
  current(): number;
  /** This one hangs. @returns the next, which another tab may have called already */
  leave(hung: number): number;
}

export function createGeneration(platform: Platform, name: string): Generation {
  let known = 1;

  function read(): number {
    try {
      const stored = Number(platform.sharedStorage().getItem(generationKey(name)));
      if (Number.isSafeInteger(stored)) known = Math.max(known, stored);
      // Somebody has cleared it, who may be about to call a name that is left.
      if (known > Math.max(1, stored)) write();
    } catch {
      // Denied: each tab finds out by itself.
    }
    return known;
  }

  function write(): void {
    try {
      platform.sharedStorage().setItem(generationKey(name), String(known));
    } catch {
      // As above.
    }
  }

  return {
    current: read,
    leave(hung) {
      if (read() > hung) return known;
      known = hung + 1;
      write();
      return known;
    },
  };
}
