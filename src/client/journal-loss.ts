import { journalLossKey } from "../protocol/names.ts";
import type { Platform } from "./platform.ts";

/** More hosts than anybody has whose tasks are still to be told. */
const most = 16;
/** Taken before it is needed: storage may be full when a journal fails, and what does not grow can be written then. */
const room = most * 24;

/**
 * Whose journals have failed, as the pages of this origin have noted it. What a journal has from before that is old,
 * and the next host has to know, whichever page greets it.
 */
export interface JournalLoss {
  /** The last one of which this page's host has been told. */
  readonly told: string | undefined;
  /** What is noted by now, for the next host. */
  tell(): string | undefined;
  note(epoch: string): void;
}

export function createJournalLoss(platform: Platform, name: string): JournalLoss {
  const key = journalLossKey(name);
  /** Also what could not be written, or is cleared by now. */
  let known: string[] = [];
  let told: string | undefined;

  /** Where it is denied, only this page knows; but then no journal outlives its host. */
  function meet(): string[] {
    try {
      const storage = platform.sharedStorage();
      const stored = storage.getItem(key);
      const there = (stored ?? "").split(" ").filter(Boolean);
      // What the storage has lost was there before what others have noted since.
      if (!there.every((one) => known.includes(one)))
        known = [...known.filter((one) => !there.includes(one)), ...there];
      known = known.slice(-most);
      const text = known.join(" ").padEnd(room);
      if (text !== stored) storage.setItem(key, text);
    } catch {
      // As above; or it is full, and was when this page came.
    }
    return known;
  }

  return {
    get told() {
      return told;
    },
    tell() {
      told = meet().at(-1);
      return known.join(" ") || undefined;
    },
    note(epoch) {
      if (meet().includes(epoch)) return;
      known.push(epoch);
      meet();
    },
  };
}
