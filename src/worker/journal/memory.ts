import type { JournalEntry } from "../../core/journal.ts";
import { claimed, isOverdue } from "./claiming.ts";
import type { Journal } from "./journal.ts";

/** Beyond so many entries the oldest settled ones go, also when nobody asks for it. */
const entryLimit = 5000;

export interface MemoryJournal extends Journal {
  /** Takes the entry over as another journal has it. */
  copy(entry: JournalEntry): void;
}

/** A journal that lives as long as the host: it survives the tabs, not the worker. */
export function memoryJournal(): MemoryJournal {
  const entries = new Map<string, JournalEntry>();

  function put(entry: JournalEntry): void {
    entries.set(entry.taskId, entry);
    if (entries.size <= entryLimit) return;
    for (const { taskId, settledAt } of entries.values()) {
      if (settledAt === undefined) continue;
      entries.delete(taskId);
      return;
    }
  }

  function claimWhere(wanted: (entry: JournalEntry) => boolean): JournalEntry[] {
    const taken = claimed([...entries.values()].filter(wanted));
    for (const entry of taken) put(entry);
    return taken;
  }

  return {
    kind: "memory",
    copy: put,
    async write(entry, isNew) {
      const known = entries.get(entry.taskId);
      if (known ? isNew || known.generation > entry.generation : !isNew) return "superseded";
      put(entry);
      return "written";
    },
    async erase(taskIds) {
      for (const taskId of taskIds) entries.delete(taskId);
    },
    claim: async (tabId, tabSecret) =>
      claimWhere((entry) => entry.tabId === tabId && entry.tabSecret === tabSecret),
    claimOverdue: async (before) => claimWhere((entry) => isOverdue(entry, before)),
    async expire(before, perTab, inAll) {
      const newestFirst = [...entries.values()]
        .filter(({ settledAt }) => settledAt !== undefined)
        .sort((a, b) => (b.settledAt ?? 0) - (a.settledAt ?? 0));
      const countByTab = new Map<string, number>();
      let kept = 0;
      for (const { taskId, tabId, settledAt = 0 } of newestFirst) {
        const own = (countByTab.get(tabId) ?? 0) + 1;
        countByTab.set(tabId, own);
        if (settledAt < before || own > perTab || kept >= inAll) entries.delete(taskId);
        else kept += 1;
      }
    },
  };
}
