import { journalLossKey } from "../protocol/names.ts";
import type { Platform } from "./platform.ts";

/** More hosts than anybody has whose tasks are still to be told. */
const most = 16;

/**
 * Whose journals have failed, as the pages of this origin have noted it. What a journal has from before that is old,
 * and the next host has to know, whichever page greets it.
 */
export interface JournalLoss {
  /** What this page's host has been told: the epochs of such hosts, the last one at the end. */
  readonly told: string | undefined;
  /** What is noted by now, for the next host. */
  tell(): string | undefined;
  note(epoch: string): void;
}

export function createJournalLoss(platform: Platform, name: string): JournalLoss {
  let noted: string | undefined;
  let told: string | undefined;

  function read(): string | undefined {
    try {
      return platform.sharedStorage().getItem(journalLossKey(name)) ?? noted;
    } catch {
      return noted; // denied: only this page knows, and no journal outlives its host
    }
  }

  return {
    get told() {
      return told;
    },
    tell() {
      told = read();
      return told;
    },
    note(epoch) {
      const before = read()?.split(" ") ?? [];
      if (before.includes(epoch)) return;
      noted = [...before, epoch].slice(-most).join(" ");
      try {
        platform.sharedStorage().setItem(journalLossKey(name), noted);
      } catch {
        // As above; or full.
      }
    },
  };
}
