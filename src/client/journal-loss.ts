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
  /** What could not be written. */
  const own: string[] = [];
  let told: string | undefined;

  /** Where it is denied, only this page knows; but then no journal outlives its host. */
  function read(): string[] {
    let stored: string | null = "";
    try {
      stored = platform.sharedStorage().getItem(key);
      if (stored === null) write([]);
    } catch {}
    return [...new Set([...(stored ?? "").split(" ").filter(Boolean), ...own])];
  }

  function write(losses: readonly string[]): void {
    platform.sharedStorage().setItem(key, losses.join(" ").padEnd(room));
  }

  return {
    get told() {
      return told;
    },
    tell() {
      const losses = read();
      told = losses.at(-1);
      return losses.join(" ") || undefined;
    },
    note(epoch) {
      const before = read();
      if (before.includes(epoch)) return;
      own.push(epoch);
      try {
        write([...before, epoch].slice(-most));
        own.length = 0;
      } catch {
        // As above; or it is full, and was when this page came.
      }
    },
  };
}
