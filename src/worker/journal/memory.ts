import type { JournalEntry } from "../../core/journal.ts";
import type { Journal } from "./journal.ts";

/** A journal that lives as long as the host: it survives the tabs, not the worker. */
export function memoryJournal(): Journal {
  const entries = new Map<string, JournalEntry>();
  return {
    kind: "memory",
    async write(entry) {
      entries.set(entry.taskId, entry);
    },
    async erase(taskIds) {
      for (const taskId of taskIds) entries.delete(taskId);
    },
    async read(tabId) {
      return [...entries.values()].filter((entry) => entry.tabId === tabId);
    },
  };
}
