import { type DBSchema, type IDBPDatabase, type IDBPObjectStore, wrap } from "idb";
import type { JournalEntry } from "../../core/journal.ts";
import { claimed, isOverdue } from "./claiming.ts";
import type { ClosableStorage } from "./fallback.ts";

interface Schema extends DBSchema {
  entries: {
    key: string;
    value: JournalEntry;
    indexes: {
      tabId: string;
      cancelAt: number;
      /** These two have only what is settled. */
      settledAt: number;
      settledOfTab: [tabId: string, settledAt: number];
      /** Tells whose an entry is without reading it: a workflow in it may be long. */
      generation: [taskId: string, generation: number];
    };
  };
}

type Entries = IDBPObjectStore<Schema, ["entries"], "entries", "readwrite">;

/** So many entries are forgotten at once. A day's tasks at once would take longer than anybody waits. */
const batchSize = 200;

/**
 * The journal's database. The schema's version is part of `name`, so that no upgrade ever waits for a tab with
 * older code: the version that IndexedDB counts stays 1.
 *
 * @param onLost the database is to be closed, or will not open; called any time, also while it opens
 */
export async function openIndexedDb(
  factory: IDBFactory,
  name: string,
  onLost: (reason: string) => void,
): Promise<ClosableStorage> {
  const request = factory.open(name, 1);
  request.addEventListener("upgradeneeded", () => {
    const entries = request.result.createObjectStore("entries", { keyPath: "taskId" });
    entries.createIndex("tabId", "tabId");
    entries.createIndex("cancelAt", "cancelAt");
    entries.createIndex("settledAt", "settledAt");
    entries.createIndex("settledOfTab", ["tabId", "settledAt"]);
    entries.createIndex("generation", ["taskId", "generation"]);
  });
  request.addEventListener("blocked", () => onLost("another page keeps the database from being opened"));
  const db = (await wrap(request)) as IDBPDatabase<Schema>;
  // Somebody deletes it, and waits until it is closed.
  db.addEventListener("versionchange", () => onLost("the database is being deleted"));
  db.addEventListener("close", () => onLost("the browser has closed the database"));

  async function transact<T>(
    durability: IDBTransactionDurability,
    work: (entries: Entries) => Promise<T>,
  ): Promise<T> {
    const transaction = db.transaction("entries", "readwrite", { durability });
    const [result] = await Promise.all([work(transaction.store), transaction.done]);
    return result;
  }

  async function take(entries: Entries, found: readonly JournalEntry[]): Promise<readonly JournalEntry[]> {
    const taken = claimed(found);
    await Promise.all(taken.map((entry) => entries.put(entry)));
    return taken;
  }

  return {
    write: (entry, isNew) =>
      transact(isPassing(entry, isNew) ? "relaxed" : "strict", async (entries) => {
        const { taskId, generation } = entry;
        const [known, notNewer] = await Promise.all([
          entries.getKey(taskId),
          entries.index("generation").getKey(IDBKeyRange.bound([taskId, 0], [taskId, generation])),
        ]);
        if (known === undefined ? !isNew : isNew || notNewer === undefined) return "superseded";
        await entries.put(entry);
        return "written";
      }),
    async erase(taskIds) {
      await transact("relaxed", (entries) => Promise.all(taskIds.map((taskId) => entries.delete(taskId))));
    },
    claim: (tabId, tabSecret) =>
      transact("strict", async (entries) => {
        const found = await entries.index("tabId").getAll(tabId);
        return take(
          entries,
          found.filter((entry) => entry.tabSecret === tabSecret),
        );
      }),
    claimOverdue: (before) =>
      transact("strict", async (entries) => {
        const found = await entries.index("cancelAt").getAll(IDBKeyRange.upperBound(before, true));
        return take(
          entries,
          found.filter((entry) => isOverdue(entry, before)),
        );
      }),
    expire: (before, perTab, inAll) =>
      transact("relaxed", async (entries) => {
        const doomed = await findExpired(entries, before, perTab, inAll);
        await Promise.all(doomed.map((taskId) => entries.delete(taskId)));
        return doomed.length > 0;
      }),
    close: () => db.close(),
  };
}

/** By keys and counts alone: the entries of all tabs together may be large. */
async function findExpired(
  entries: Entries,
  before: number,
  perTab: number,
  inAll: number,
): Promise<readonly string[]> {
  const settled = entries.index("settledAt");
  const tooOld = await settled.getAllKeys(IDBKeyRange.upperBound(before, true), batchSize);
  if (tooOld.length > 0) return tooOld;
  const count = await settled.count();
  if (count > perTab) {
    const byTab = entries.index("settledOfTab");
    let tab = await byTab.openKeyCursor();
    while (tab) {
      const [tabId] = tab.key;
      const end: [string, number] = [tabId, Number.POSITIVE_INFINITY];
      const own = IDBKeyRange.bound([tabId], end);
      const surplus = (await byTab.count(own)) - perTab;
      if (surplus > 0) return byTab.getAllKeys(own, Math.min(surplus, batchSize));
      tab = await tab.continue(end);
    }
  }
  return count > inAll ? settled.getAllKeys(null, Math.min(count - inAll, batchSize)) : [];
}

/**
 * Whether the entry may be lost when the machine dies right now: until a prompt is accepted, the next POST hangs
 * on what is written; an intent to cancel and an ending are said nowhere else.
 */
const isPassing = ({ accepted, cancelWanted, settledAt }: JournalEntry, isNew: boolean): boolean =>
  !isNew && accepted && !cancelWanted && settledAt === undefined;
