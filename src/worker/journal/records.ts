import type { JournalEntry } from "../../core/journal.ts";

/**
 * A task lies in several records, by `[taskId, generation]`: a mark of generation 0 for as long as it is there, and
 * an entry. Of several entries the one of the highest generation counts; lower ones are what former hosts have left.
 * A mark above all entries is a claim: who has made it is going to write the entry.
 */
export type Mark = Pick<JournalEntry, "taskId" | "generation" | "tabId" | "tabSecret">;
export type Row = JournalEntry | Mark;

export const ownMark = ({ taskId, generation, tabId, tabSecret }: Mark): Mark => ({
  taskId,
  generation,
  tabId,
  tabSecret,
});

const isEntry = (row: Row): row is JournalEntry => "createdAt" in row;

/** The records of a task with these generations. To a key, an array is more than any number. */
export const recordsOf = (taskId: string, from = 0, to: number | [] = []): IDBKeyRange =>
  IDBKeyRange.bound([taskId, from], [taskId, to]);

export const taskIdsIn = (keys: readonly IDBValidKey[]): string[] => [
  ...new Set(keys.map((key) => (key as [string, number])[0])),
];

/** What the rows say of their tasks, each with the highest generation that anybody has claimed. */
export function tasksIn(rows: readonly Row[]): JournalEntry[] {
  const byTask = new Map<string, { isThere: boolean; highest: number; entry?: JournalEntry }>();
  for (const row of [...rows].sort((one, other) => one.generation - other.generation)) {
    const { taskId, generation } = row;
    const known = byTask.get(taskId) ?? { isThere: generation === 0, highest: 0 };
    byTask.set(taskId, { ...known, highest: generation, ...(isEntry(row) ? { entry: row } : {}) });
  }
  return [...byTask.values()].flatMap(({ isThere, highest, entry }) =>
    isThere && entry ? [{ ...entry, generation: highest }] : [],
  );
}
