import { journalName } from "../../protocol/names.ts";
import type { After } from "../timers.ts";
import { journalWithFallback } from "./fallback.ts";
import { openIndexedDb } from "./indexeddb.ts";
import type { Journal } from "./journal.ts";

export interface JournalMeans {
  /** Undefined where there is none. Where it is refused, the access itself may throw. */
  readonly indexedDB: (() => IDBFactory) | undefined;
  /** The worker's name: hosts of the same name journal in the same place. */
  readonly name: string;
  readonly after: After;
  readonly onDegraded: (reason: string) => void;
}

/** The best journal that this realm can have. It takes orders at once; they wait until it is open. */
export function openJournal({ indexedDB, name, after, onDegraded }: JournalMeans): Journal {
  return journalWithFallback({
    open: async (onLost) => {
      if (!indexedDB) throw new Error("There is no IndexedDB here.");
      return openIndexedDb(indexedDB(), journalName(name), onLost);
    },
    after,
    onDegraded,
  });
}
