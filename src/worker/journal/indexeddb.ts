import type { JournalEntry } from "../../core/journal.ts";
import { claimed, isOverdue } from "./claiming.ts";
import type { ClosableStorage } from "./fallback.ts";

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
    for (const field of ["tabId", "cancelAt", "settledAt"]) entries.createIndex(field, field);
    // This one and `settledAt` have only what is settled.
    entries.createIndex("settledOfTab", ["tabId", "settledAt"]);
    // Tells whose an entry is without reading it: a workflow in it may be long.
    entries.createIndex("generation", ["taskId", "generation"]);
  });
  request.addEventListener("blocked", () => onLost("another page keeps the database from being opened"));
  const db = await answered(request);
  // Somebody deletes it, and waits until it is closed.
  db.addEventListener("versionchange", () => onLost("the database is being deleted"));
  db.addEventListener("close", () => onLost("the browser has closed the database"));

  async function transact<T>(
    durability: IDBTransactionDurability,
    work: (entries: IDBObjectStore) => Promise<T>,
  ): Promise<T> {
    const transaction = db.transaction("entries", "readwrite", { durability });
    const [result] = await Promise.all([work(transaction.objectStore("entries")), completed(transaction)]);
    return result;
  }

  const claim = (
    index: string,
    query: string | IDBKeyRange,
    isMeant: (entry: JournalEntry) => boolean,
  ): Promise<readonly JournalEntry[]> =>
    transact("strict", async (entries) => {
      const found: JournalEntry[] = await answered(entries.index(index).getAll(query));
      const taken = claimed(found.filter(isMeant));
      await Promise.all(taken.map((entry) => answered(entries.put(entry))));
      return taken;
    });

  const remove = (entries: IDBObjectStore, taskIds: readonly IDBValidKey[]): Promise<unknown> =>
    Promise.all(taskIds.map((taskId) => answered(entries.delete(taskId))));

  return {
    async write(entry, isNew) {
      const { taskId, generation } = entry;
      // The first one replaces none; any other only one that is not newer, and there.
      const place = IDBKeyRange.bound([taskId, 0], [taskId, isNew ? Number.POSITIVE_INFINITY : generation]);
      let superseded = false;
      const work = (entries: IDBObjectStore): Promise<unknown> => {
        // Asked for at once: the way there and back costs more than either.
        const known = answered(entries.index("generation").getKey(place));
        const put = answered(entries.put(entry));
        const judged = known.then((found) => {
          superseded = (found === undefined) !== isNew;
          if (superseded) entries.transaction.abort();
          else entries.transaction.commit();
        });
        return Promise.all([judged, put]);
      };
      try {
        await transact(isUrgent(entry, isNew) ? "strict" : "relaxed", work);
      } catch (error) {
        if (!superseded) throw error;
      }
      return superseded ? "superseded" : "written";
    },
    async flush() {
      // Only what writes goes to the disk, and takes along what was written before.
      await transact("strict", (entries) =>
        Promise.all([answered(entries.put({ taskId: "" })), answered(entries.delete(""))]),
      );
    },
    async erase(taskIds) {
      await transact("relaxed", (entries) => remove(entries, taskIds));
    },
    claim: (tabId, tabSecret) => claim("tabId", tabId, (entry) => entry.tabSecret === tabSecret),
    claimOverdue: (before) =>
      claim("cancelAt", IDBKeyRange.upperBound(before, true), (entry) => isOverdue(entry, before)),
    expire: (before, perTab, inAll) =>
      transact("relaxed", async (entries) => {
        const doomed = await findExpired(entries, before, perTab, inAll);
        await remove(entries, doomed);
        return doomed.length > 0;
      }),
    close: () => db.close(),
  };
}

/** By keys and counts alone: the entries of all tabs together may be large. */
async function findExpired(
  entries: IDBObjectStore,
  before: number,
  perTab: number,
  inAll: number,
): Promise<readonly IDBValidKey[]> {
  const settled = entries.index("settledAt");
  const tooOld = await answered(settled.getAllKeys(IDBKeyRange.upperBound(before, true), batchSize));
  if (tooOld.length > 0) return tooOld;
  const count = await answered(settled.count());
  if (count > perTab) {
    const byTab = entries.index("settledOfTab");
    const request = byTab.openKeyCursor();
    for (let tab = await answered(request); tab; tab = await answered(request)) {
      const [tabId] = tab.key as [string, number];
      const end = [tabId, Number.POSITIVE_INFINITY];
      const own = IDBKeyRange.bound([tabId], end);
      const surplus = (await answered(byTab.count(own))) - perTab;
      if (surplus > 0) return answered(byTab.getAllKeys(own, Math.min(surplus, batchSize)));
      tab.continue(end);
    }
  }
  return count > inAll ? answered(settled.getAllKeys(null, Math.min(count - inAll, batchSize))) : [];
}

const answered = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/** A request that was answered is not yet on the disk: what fails then, e.g. for lack of room, aborts it all. */
const completed = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });

/**
 * Whether the disk must have the entry before anything else happens: until a prompt is accepted, the next POST
 * hangs on what is written; an intent to cancel is said nowhere else.
 */
const isUrgent = ({ accepted, cancelWanted, settledAt }: JournalEntry, isNew: boolean): boolean =>
  settledAt === undefined && (isNew || !accepted || cancelWanted);
