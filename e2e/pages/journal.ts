import { journalName, workerName } from "../../src/protocol/names.ts";
import type { Journal } from "../../src/worker/journal/journal.ts";
import { contract, newEntry } from "../../src/worker/journal/journal-contract.ts";
import { openJournal } from "../../src/worker/journal/open-journal.ts";
import { after } from "../../src/worker/timers.ts";

/** The browser's own IndexedDB, as a host in a worker would use it. */
export interface JournalUnderTest {
  readonly clauses: readonly string[];
  /** Undefined when the clause holds, else what is wrong. */
  check(clause: string): Promise<string | undefined>;
  /** A host's journal. Where it had to go on in memory, `degraded` says why. */
  open(app: string): Journal;
  readonly degraded: readonly string[];
  readonly newEntry: typeof newEntry;
  /** Deletes the database, which hosts have to let go of. */
  remove(app: string): Promise<void>;
}

declare global {
  interface Window {
    journal: JournalUnderTest;
  }
}

const degraded: string[] = [];

function open(app: string): Journal {
  const onDegraded = (reason: string): void => void degraded.push(reason);
  return openJournal({ indexedDB: () => indexedDB, name: workerName(app), after, onDegraded });
}

function remove(app: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(journalName(workerName(app)));
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error);
  });
}

window.journal = {
  clauses: contract.map(({ says }) => says),
  async check(clause) {
    const found = contract.find(({ says }) => says === clause);
    const app = `contract: ${clause}`;
    try {
      await remove(app);
      degraded.length = 0;
      await found?.check(() => open(app));
      return degraded[0];
    } catch (error) {
      return String(error);
    }
  },
  open,
  degraded,
  newEntry,
  remove,
};
