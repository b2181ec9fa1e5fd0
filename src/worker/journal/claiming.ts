import type { JournalEntry } from "../../core/journal.ts";

export const oldestFirst = (entries: readonly JournalEntry[]): JournalEntry[] =>
  [...entries].sort((a, b) => a.createdAt - b.createdAt);

/** What a claim makes of the entries that it takes: the next generation, oldest first. */
export const claimed = (entries: readonly JournalEntry[]): JournalEntry[] =>
  oldestFirst(entries.map((entry) => ({ ...entry, generation: entry.generation + 1 })));

/** Its page was to come back before then, and did not. */
export const isOverdue = ({ cancelAt, settledAt }: JournalEntry, before: number): boolean =>
  settledAt === undefined && cancelAt !== undefined && cancelAt < before;
