import type { JournalEntry, WriteOutcome } from "../../core/journal.ts";

/**
 * Where tasks outlive the host. Every method settles within its deadline, also where the storage hangs: a
 * journal that cannot go on continues in memory and says so through `onDegraded`, once.
 */
export interface Journal {
  readonly kind: "memory" | "indexeddb";
  /**
   * Puts the entry in place of the task's former one, unless that has a larger generation.
   *
   * @param isNew the task's first entry; any other whose task is not there is superseded (it was dismissed)
   */
  write(entry: JournalEntry, isNew: boolean): Promise<WriteOutcome>;
  erase(taskIds: readonly string[]): Promise<void>;
  /**
   * Makes the tab's tasks this host's: returns them with their generation raised, oldest first. Entries with
   * another secret are somebody else's and are left alone.
   */
  claim(tabId: string, tabSecret: string): Promise<readonly JournalEntry[]>;
  /** The same for open tasks of whatever tab whose `cancelAt` is past `before` (epoch milliseconds). */
  claimOverdue(before: number): Promise<readonly JournalEntry[]>;
  /**
   * Forgets settled entries that were settled before `before` (epoch milliseconds), and the oldest settled
   * ones beyond `perTab` of a tab or `inAll`.
   */
  expire(before: number, perTab: number, inAll: number): Promise<void>;
}
