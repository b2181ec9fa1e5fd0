import type { JournalEntry, WriteOutcome } from "../../core/journal.ts";

/**
 * Where tasks outlive the host, as far as the platform lets them. It does everything in the order of the calls;
 * every method settles, and none rejects, also where the storage fails or hangs: a journal that cannot go on
 * continues in memory and says so through `onDegraded`, once.
 */
export interface Journal {
  /** What is in force. */
  readonly kind: "memory" | "indexeddb";
  /**
   * Puts the entry in place of the task's former one, unless that has a larger generation.
   *
   * @param isNew this host's first entry of the task, superseded where another host has written one; any
   *   other whose task is not there is superseded, too (it was dismissed)
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
   * Forgets settled entries that were settled before `before` (epoch milliseconds), the oldest ones beyond
   * `perTab` of a tab, and then the oldest ones beyond `inAll`: a busy tab does not push out the others'.
   */
  expire(before: number, perTab: number, inAll: number): Promise<void>;
}
