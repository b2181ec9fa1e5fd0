import type { JournalEntry } from "../../core/journal.ts";
import { claimed, isOverdue, oldestFirst } from "./claiming.ts";
import type { ClosableStorage } from "./fallback.ts";
import { ownMark, type Row, recordsOf, taskIdsIn, tasksIn } from "./records.ts";

/** So many tasks are forgotten at once. A day's tasks at once would take longer than anybody waits. */
const batchSize = 200;

/**
 * The journal's database. The schema's version is part of `name`, so that no upgrade ever waits for a tab with
 * older code: the version that IndexedDB counts stays 1.
 *
 * No transaction waits for its host: all is asked before anything is answered, and committed at once. One that
 * is open when its host hangs would keep all others from the journal for as long as that hangs (decision 22).
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
    const records = request.result.createObjectStore("records", { keyPath: ["taskId", "generation"] });
    records.createIndex("owner", ["tabId", "tabSecret"]);
    for (const field of ["cancelAt", "settledAt"]) records.createIndex(field, field);
    // This one and `settledAt` have only what is settled.
    records.createIndex("settledOfTab", ["tabId", "settledAt"]);
  });
  request.addEventListener("blocked", () => onLost("another page keeps the database from being opened"));
  const db = await answered(request);
  // Somebody deletes it, and waits until it is closed.
  db.addEventListener("versionchange", () => onLost("the database is being deleted"));
  db.addEventListener("close", () => onLost("the browser has closed the database"));

  /** The answers to all that is asked, when the transaction is complete. */
  async function transact<T = unknown>(
    durability: IDBTransactionDurability | "readonly",
    ask: (records: IDBObjectStore) => readonly IDBRequest[],
  ): Promise<T[]> {
    const transaction =
      durability === "readonly"
        ? db.transaction("records")
        : db.transaction("records", "readwrite", { durability });
    const answers = ask(transaction.objectStore("records")).map(answered<T>);
    transaction.commit();
    const [found] = await Promise.all([Promise.all(answers), completed(transaction)]);
    return found;
  }

  const read = async <T>(ask: (records: IDBObjectStore) => IDBRequest<T>): Promise<T> =>
    (await transact<T>("readonly", (records) => [ask(records)]))[0] as T;

  const readTasks = async (taskIds: readonly string[]): Promise<Row[]> =>
    (
      await transact<Row[]>("readonly", (records) => taskIds.map((id) => records.getAll(recordsOf(id))))
    ).flat();

  /** @param find the rows of all tasks that may be meant */
  async function claim(
    find: () => Promise<readonly Row[]>,
    isMeant: (entry: JournalEntry) => boolean = () => true,
  ): Promise<readonly JournalEntry[]> {
    for (;;) {
      const marks = claimed(tasksIn(await find()).filter(isMeant)).map(ownMark);
      if (marks.length === 0) return [];
      // From here on a former host is refused what it writes; what it was not refused is read.
      const rows = await unlessTaken(
        transact("relaxed", (records) => [
          ...marks.map((mark) => records.add(mark)),
          ...marks.map(({ taskId }) => records.getAll(recordsOf(taskId))),
        ]),
      );
      if (!rows) continue;
      const taken = oldestFirst(tasksIn(rows.slice(marks.length).flat() as Row[]));
      await transact("strict", (records) =>
        taken.flatMap((entry): IDBRequest[] => [
          records.delete(recordsOf(entry.taskId, 1, entry.generation - 1)),
          records.put(entry),
        ]),
      );
      return taken;
    }
  }

  return {
    async write(entry, isNew) {
      const { taskId, generation } = entry;
      const durability = isUrgent(entry, isNew) ? "strict" : "relaxed";
      if (isNew) {
        const first = transact(durability, (records) => [
          records.add({ ...ownMark(entry), generation: 0 }),
          records.delete(recordsOf(taskId, 1)),
          records.put(entry),
        ]);
        return (await unlessTaken(first)) ? "written" : "superseded";
      }
      const [keys] = (await transact(durability, (records) => [
        records.getAllKeys(recordsOf(taskId)),
        records.put(entry),
      ])) as [readonly (readonly [taskId: string, generation: number])[]];
      const [isThere, newest = 0] = [keys[0]?.[1] === 0, keys.at(-1)?.[1]];
      // Nobody takes it for a task; it need not lie there, either.
      if (!isThere) await transact("relaxed", (records) => [records.delete([taskId, generation])]);
      return isThere && newest <= generation ? "written" : "superseded";
    },
    async flush() {
      // Only what writes goes to the disk, and takes along what was written before.
      await transact("strict", (records) => [
        records.put({ taskId: "", generation: 0 }),
        records.delete(["", 0]),
      ]);
    },
    async erase(taskIds) {
      await transact("relaxed", (records) => taskIds.map((taskId) => records.delete(recordsOf(taskId))));
    },
    claim: (tabId, tabSecret) =>
      claim(() => read<Row[]>((records) => records.index("owner").getAll([tabId, tabSecret]))),
    claimOverdue: (before) =>
      claim(
        async () => {
          const overdue = IDBKeyRange.upperBound(before, true);
          const keys = await read((records) => records.index("cancelAt").getAllKeys(overdue));
          return readTasks(taskIdsIn(keys));
        },
        (entry) => isOverdue(entry, before),
      ),
    async expire(before, perTab, inAll) {
      const keys = await findExpired(read, before, perTab, inAll);
      const tasks = new Map(
        tasksIn(await readTasks(taskIdsIn(keys))).map((entry) => [entry.taskId, entry] as const),
      );
      await transact("relaxed", (records) =>
        keys.map((key) => {
          const [taskId] = key as [string, number];
          // Else it is what a former host has left of a task that goes on.
          return records.delete(tasks.get(taskId)?.settledAt === undefined ? key : recordsOf(taskId));
        }),
      );
      return keys.length > 0;
    },
    close: () => db.close(),
  };
}

type Read = <T>(ask: (records: IDBObjectStore) => IDBRequest<T>) => Promise<T>;

/** By keys and counts alone: the entries of all tabs together may be large. */
async function findExpired(
  read: Read,
  before: number,
  perTab: number,
  inAll: number,
): Promise<readonly IDBValidKey[]> {
  const tooOld = await read((records) =>
    records.index("settledAt").getAllKeys(IDBKeyRange.upperBound(before, true), batchSize),
  );
  if (tooOld.length > 0) return tooOld;
  const count = await read((records) => records.index("settledAt").count());
  if (count > perTab) {
    let rest: IDBKeyRange | undefined;
    for (;;) {
      const next = await read((records) => records.index("settledOfTab").openKeyCursor(rest));
      if (!next) break;
      const [tabId] = next.key as [string, number];
      const own = IDBKeyRange.bound([tabId], [tabId, []]);
      const surplus = (await read((records) => records.index("settledOfTab").count(own))) - perTab;
      if (surplus > 0) {
        const most = Math.min(surplus, batchSize);
        return read((records) => records.index("settledOfTab").getAllKeys(own, most));
      }
      rest = IDBKeyRange.lowerBound([tabId, []]);
    }
  }
  if (count <= inAll) return [];
  const most = Math.min(count - inAll, batchSize);
  return read((records) => records.index("settledAt").getAllKeys(null, most));
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

/** Undefined where a record that was to be added is there already: another host was first, and nothing is changed. */
async function unlessTaken<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if ((error as DOMException | null)?.name === "ConstraintError") return undefined;
    throw error;
  }
}

/**
 * Whether the disk must have the entry before anything else happens: until a prompt is accepted, the next POST
 * hangs on what is written; an intent to cancel is said nowhere else.
 */
const isUrgent = ({ accepted, cancelWanted, settledAt }: JournalEntry, isNew: boolean): boolean =>
  settledAt === undefined && (isNew || !accepted || cancelWanted);
