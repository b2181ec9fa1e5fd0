import type { JournalEntry, WriteOutcome } from "../core/journal.ts";

/** A journal that several hosts of a test share, one after the other: it answers at once. */
export interface JournalModel {
  readonly entries: Map<string, JournalEntry>;
  write(entry: JournalEntry, isNew: boolean): WriteOutcome;
  erase(taskIds: readonly string[]): void;
  claim(tabId: string, tabSecret: string): readonly JournalEntry[];
  claimOverdue(before: number): readonly JournalEntry[];
}

export function journalModel(): JournalModel {
  const entries = new Map<string, JournalEntry>();
  const claimWhere = (wanted: (entry: JournalEntry) => boolean): JournalEntry[] =>
    [...entries.values()].filter(wanted).map((entry) => {
      const claimed = { ...entry, generation: entry.generation + 1 };
      entries.set(entry.taskId, claimed);
      return claimed;
    });
  return {
    entries,
    write(entry, isNew) {
      const known = entries.get(entry.taskId);
      if (known ? isNew || known.generation > entry.generation : !isNew) return "superseded";
      entries.set(entry.taskId, entry);
      return "written";
    },
    erase(taskIds) {
      for (const taskId of taskIds) entries.delete(taskId);
    },
    claim: (tabId, tabSecret) =>
      claimWhere((entry) => entry.tabId === tabId && entry.tabSecret === tabSecret),
    claimOverdue: (before) =>
      claimWhere(
        ({ cancelAt, settledAt }) => settledAt === undefined && cancelAt !== undefined && cancelAt < before,
      ),
  };
}
