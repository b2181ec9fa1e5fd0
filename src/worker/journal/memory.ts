import type { JournalEntry } from "../../core/journal.ts";
import type { Journal } from "./journal.ts";

/** A journal that lives as long as the host: it survives the tabs, not the worker. */
export function memoryJournal(): Journal {
  const entries = new Map<string, JournalEntry>();

  function claimWhere(wanted: (entry: JournalEntry) => boolean): JournalEntry[] {
    return [...entries.values()].filter(wanted).map((entry) => {
      const claimed = { ...entry, generation: entry.generation + 1 };
      entries.set(entry.taskId, claimed);
      return claimed;
    });
  }

  return {
    kind: "memory",
    async write(entry, isNew) {
      const known = entries.get(entry.taskId);
      if (known ? known.generation > entry.generation : !isNew) return "superseded";
      entries.set(entry.taskId, entry);
      return "written";
    },
    async erase(taskIds) {
      for (const taskId of taskIds) entries.delete(taskId);
    },
    claim: async (tabId, tabSecret) =>
      claimWhere((entry) => entry.tabId === tabId && entry.tabSecret === tabSecret),
    claimOverdue: async (before) =>
      claimWhere(
        ({ cancelAt, settledAt }) => settledAt === undefined && cancelAt !== undefined && cancelAt < before,
      ),
    async expire(before, perTab, inAll) {
      const settled = [...entries.values()]
        .filter(({ settledAt }) => settledAt !== undefined)
        .sort((a, b) => (b.settledAt ?? 0) - (a.settledAt ?? 0));
      const counts = new Map<string, number>();
      for (const [place, { taskId, tabId, settledAt = 0 }] of settled.entries()) {
        const own = (counts.get(tabId) ?? 0) + 1;
        counts.set(tabId, own);
        if (settledAt < before || own > perTab || place >= inAll) entries.delete(taskId);
      }
    },
  };
}
