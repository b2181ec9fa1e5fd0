import "fake-indexeddb/auto";
import { IDBFactory as FakeFactory, forceCloseDatabase } from "fake-indexeddb";
import { afterEach, describe, expect, test } from "vitest";
import type { JournalEntry } from "../../core/journal.ts";
import { workerName } from "../../protocol/names.ts";
import { type After, after } from "../timers.ts";
import type { Journal } from "./journal.ts";
import { contract, newEntry } from "./journal-contract.ts";
import { openJournal } from "./open-journal.ts";

const database = "comfy-tabs/atelier/journal/2";

/** An origin's storage, and journals of hosts in it. */
function openStorage(timer: After = after) {
  const factory: IDBFactory = new FakeFactory();
  const reasons: string[] = [];
  return {
    factory,
    reasons,
    open: (name = workerName("atelier")) =>
      openJournal({
        indexedDB: () => factory,
        name,
        after: timer,
        onDegraded: (reason) => reasons.push(reason),
      }),
  };
}

const asked = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const { transaction } = IDBDatabase.prototype;
afterEach(() => {
  IDBDatabase.prototype.transaction = transaction;
});

const claimAnna = (journal: Journal) => journal.claim("tab-anna", "secret-anna");

describe("a journal in IndexedDB", () => {
  test.each(contract)("$says", async ({ check }) => {
    const { open, reasons } = openStorage();
    await check(() => open());
    expect(reasons).toEqual([]);
  });

  test("lies where only hosts of the same name and schema look", async () => {
    const { factory, open } = openStorage();
    await open().write(newEntry(), true);
    expect((await factory.databases()).map(({ name }) => name)).toEqual([database]);
    expect(await open(workerName("other")).claim("tab-anna", "secret-anna")).toEqual([]);
    expect(await open("atelier").claim("tab-anna", "secret-anna")).toHaveLength(1);
  });

  test("forgets any number of tasks, and lets others write meanwhile", async () => {
    const journal = openStorage().open();
    const settle = (tabId: string, from: number, to: number) =>
      Promise.all(
        Array.from({ length: to - from }, (_, i) =>
          journal.write(newEntry({ taskId: `${tabId} ${from + i}`, tabId, settledAt: from + i }), true),
        ),
      );
    await Promise.all([settle("a", 0, 250), settle("b", 1000, 1600), settle("c", 2000, 2005)]);
    let forgotten = false;
    const expiring = journal.expire(240, 300, 100).then(() => {
      forgotten = true;
    });
    await journal.write(newEntry(), true);
    expect(forgotten).toBe(false);
    await expiring;
    const names = async (tabId: string) =>
      (await journal.claim(tabId, "secret-anna")).map(({ taskId }) => Number(taskId.split(" ")[1])).sort();
    expect([await names("a"), (await names("c")).length]).toEqual([[], 5]);
    const left = await names("b");
    expect([left.length, left[0], left.at(-1)]).toEqual([95, 1505, 1599]);
  });

  test("waits for the disk, but not for every sign of progress", async () => {
    const durabilities: (string | undefined)[] = [];
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, names, mode, options) {
      if (options) durabilities.push(options.durability);
      return transaction.call(this, names, mode, options);
    };
    const journal = openStorage().open();
    await journal.write(newEntry(), true);
    await journal.write(newEntry({ posts: 1 }), false);
    await journal.write(newEntry({ accepted: true, seq: 5 }), false);
    await journal.write(newEntry({ accepted: true, cancelWanted: true }), false);
    await journal.write(newEntry({ accepted: true, cancelWanted: true, settledAt: 9 }), false);
    expect(durabilities).toEqual(["strict", "strict", "relaxed", "strict", "relaxed"]);
    expect(await claimAnna(journal)).toHaveLength(1);
    // The ending was told; then everything before it went to the disk.
    expect(durabilities.slice(5)).toEqual(["strict", "relaxed", "strict"]);
  });

  test("asks for all of a transaction before anything is answered, and commits it at once", async () => {
    const open = new Set<IDBTransaction>();
    let late = 0;
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, names, mode, options) {
      const made = transaction.call(this, names, mode, options);
      if (made.mode === "versionchange") return made;
      open.add(made);
      const commit = made.commit.bind(made);
      made.commit = () => {
        open.delete(made);
        commit();
      };
      // By then the one who asked is waiting for answers.
      queueMicrotask(() => {
        if (open.has(made)) late += 1;
      });
      return made;
    };
    for (const { check } of contract) await check(openStorage().open);
    const journal = openStorage().open();
    for (const tabId of ["a", "b", "c"])
      for (let at = 0; at < 5; at += 1)
        await journal.write(newEntry({ taskId: `${tabId} ${at}`, tabId, settledAt: at }), true);
    await journal.expire(0, 3, 4);
    expect([open.size, late]).toEqual([0, 0]);
  });

  /** As another host has left it. */
  async function putRecord(factory: IDBFactory, record: object): Promise<void> {
    const db = await asked(factory.open(database, 1));
    await asked(db.transaction("records", "readwrite").objectStore("records").put(record));
    db.close();
  }
  const mark = (generation: number) => ({
    taskId: "portrait",
    generation,
    tabId: "tab-anna",
    tabSecret: "secret-anna",
  });

  test("takes up a task whose last host died while it claimed it", async () => {
    const { factory, open } = openStorage();
    const former = open();
    await former.write(newEntry({ label: "as it was" }), true);
    await putRecord(factory, mark(2));
    expect(await former.write(newEntry({ label: "late" }), false)).toBe("superseded");
    expect(await claimAnna(open())).toMatchObject([{ generation: 3, label: "late" }]);
    expect(await claimAnna(open())).toMatchObject([{ generation: 4 }]);
  });

  test("is not misled by what a former host has left of a task", async () => {
    const { factory, open } = openStorage();
    const journal = open();
    await journal.write(newEntry(), true);
    await claimAnna(journal);
    await claimAnna(journal);
    await putRecord(factory, newEntry({ generation: 2, label: "left", settledAt: 5, cancelAt: 5 }));
    expect(await journal.claimOverdue(100)).toEqual([]);
    await journal.expire(100, 10, 10);
    expect(await claimAnna(journal)).toMatchObject([{ generation: 4, label: undefined }]);

    await journal.erase(["portrait"]);
    await putRecord(factory, newEntry({ generation: 9, label: "left" }));
    expect(await claimAnna(journal)).toEqual([]);
    expect(await journal.write(newEntry({ label: "new" }), true)).toBe("written");
    expect(await claimAnna(journal)).toMatchObject([{ generation: 2, label: "new" }]);
  });

  test("lets go of a database that is deleted, and goes on in memory", async () => {
    const { factory, open, reasons } = openStorage();
    const journal = open();
    await journal.write(newEntry(), true);
    await asked(factory.deleteDatabase(database));
    expect([journal.kind, reasons]).toEqual(["memory", ["the database is being deleted"]]);
    expect(await journal.write(newEntry({ seq: 1 }), false)).toBe("written");
    expect(await factory.databases()).toEqual([]);
  });

  test("notices that the browser has closed the database", async () => {
    const { factory, open, reasons } = openStorage();
    const dbs: IDBDatabase[] = [];
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, names, mode, options) {
      dbs.push(this);
      return transaction.call(this, names, mode, options);
    };
    const journal = open();
    await journal.write(newEntry(), true);
    forceCloseDatabase(dbs[0] as never);
    await expect.poll(() => reasons).toEqual(["the browser has closed the database"]);
    expect(await journal.claim("tab-anna", "secret-anna")).toHaveLength(1);
    expect(await factory.databases()).toHaveLength(1);
  });

  test("does not wait for a page that keeps the database from being opened", async () => {
    const { factory, open, reasons } = openStorage((ms, then) => after(ms / 100, then));
    const stubborn = await asked(factory.open(database, 1));
    const deleting = factory.deleteDatabase(database);
    await new Promise((resolve) => (deleting.onblocked = resolve));
    const journal = open();
    expect(await journal.write(newEntry(), true)).toBe("written");
    expect([journal.kind, reasons]).toEqual(["memory", ["the storage has not answered for 2000 ms"]]);
    stubborn.close();
  });

  test("goes on in memory with an entry that cannot be stored", async () => {
    const { open, reasons } = openStorage();
    const journal = open();
    await journal.write(newEntry(), true);
    const odd = newEntry({ label: (() => {}) as unknown as JournalEntry["label"] });
    expect(await journal.write(odd, false)).toBe("written");
    expect(reasons).toEqual([expect.stringContaining("DataCloneError")]);
  });

  test("goes on in memory where the very access is refused", async () => {
    const reasons: string[] = [];
    const journal = openJournal({
      indexedDB() {
        throw new DOMException("The operation is insecure.", "SecurityError");
      },
      name: workerName("atelier"),
      after,
      onDegraded: (reason) => reasons.push(reason),
    });
    expect(await journal.write(newEntry(), true)).toBe("written");
    expect([journal.kind, reasons]).toEqual(["memory", ["SecurityError: The operation is insecure."]]);
  });

  test("goes on in memory where there is no IndexedDB, and says so", async () => {
    const reasons: string[] = [];
    const journal = openJournal({
      indexedDB: undefined,
      name: workerName("atelier"),
      after,
      onDegraded: (reason) => reasons.push(reason),
    });
    expect(await journal.write(newEntry(), true)).toBe("written");
    expect([journal.kind, reasons]).toEqual(["memory", ["Error: There is no IndexedDB here."]]);
  });
});
