import type { JournalEntry, WriteOutcome } from "../core/journal.ts";
import { type JournalModel, journalModel } from "./journal-model.ts";

/** The storage of one browser, which its hosts share. */
export interface Storage {
  readonly shelf: JournalModel;
  /** What becomes of a question: `hang` is never answered, `refuse` fails. */
  health: "well" | "hang" | "refuse";
  /** What the pages have noted for all of the origin: which hosts' journals have failed. */
  losses: string | undefined;
  /** The user has cleared the site's data: whoever had it open is cut off. */
  wipe(): void;
  readonly wipes: number;
}

export function createStorage(): Storage {
  const shelf = journalModel();
  let wipes = 0;
  return {
    shelf,
    health: "well",
    losses: undefined,
    wipe() {
      wipes += 1;
      shelf.entries.clear();
      this.losses = undefined;
    },
    get wipes() {
      return wipes;
    },
  };
}

const deadlineMs = 2_000;

/** One host's way to the storage: in order, late, and after a failure in memory for good. */
export interface HostJournal {
  readonly inMemory: boolean;
  /** Whether the ending was written before this moment. */
  hasEnding(taskId: string): boolean;
  write(entry: JournalEntry, isNew: boolean, answer: (outcome: WriteOutcome) => void): void;
  erase(taskIds: readonly string[]): void;
  claim(tabId: string, tabSecret: string, answer: (entries: readonly JournalEntry[]) => void): void;
  claimOverdue(before: number, answer: (entries: readonly JournalEntry[]) => void): void;
}

export interface HostJournalMeans {
  readonly storage: Storage;
  at(time: number, run: () => void): void;
  latency(): number;
  now(): number;
  /** A process that has ended takes what it had not yet begun along. */
  isDead(): boolean;
  degraded(reason: string): void;
}

export function createHostJournal({
  storage,
  at,
  latency,
  now,
  isDead,
  degraded,
}: HostJournalMeans): HostJournal {
  /** What this host has written and claimed: with this it goes on alone. */
  const memory = journalModel();
  const { wipes } = storage;
  let inMemory = false;
  let busyUntil = 0;

  function goOnAlone(reason: string, after: number): void {
    inMemory = true;
    inOrder(after, () => degraded(reason));
  }

  /** In the order of the questions, as transactions are. */
  function inOrder(ms: number, run: () => void): void {
    busyUntil = Math.max(busyUntil, now() + ms);
    at(busyUntil, run);
  }

  function ask<T>(
    question: (shelf: JournalModel) => T,
    note: (given: T) => void,
    answer: (given: T) => void,
  ): void {
    inOrder(inMemory ? 0 : latency(), () => {
      if (isDead()) return;
      if (!inMemory && storage.wipes !== wipes) goOnAlone("wiped", 0);
      if (!inMemory && storage.health !== "well")
        goOnAlone(storage.health, storage.health === "hang" ? deadlineMs : 0);
      const given = question(inMemory ? memory : storage.shelf);
      if (!inMemory) note(given);
      inOrder(inMemory ? 0 : latency(), () => answer(given));
    });
  }

  const keep = (entries: readonly JournalEntry[]): void => {
    for (const entry of entries) memory.entries.set(entry.taskId, entry);
  };
  const nothing = (): void => {};

  return {
    get inMemory() {
      return inMemory;
    },
    hasEnding: (taskId) => memory.entries.get(taskId)?.settledAt !== undefined,
    write(entry, isNew, answer) {
      const note = (outcome: WriteOutcome) => outcome === "written" && keep([entry]);
      ask((shelf) => shelf.write(entry, isNew), note, answer);
    },
    erase(taskIds) {
      ask(
        (shelf) => shelf.erase(taskIds),
        () => memory.erase(taskIds),
        nothing,
      );
    },
    claim: (tabId, secret, answer) => ask((shelf) => shelf.claim(tabId, secret), keep, answer),
    claimOverdue: (before, answer) => ask((shelf) => shelf.claimOverdue(before), keep, answer),
  };
}
