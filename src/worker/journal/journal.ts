import type { JournalEntry } from "../../core/journal.ts";

/** Where tasks outlive the host. Every method settles; none throws for want of storage without saying so. */
export interface Journal {
  readonly kind: "memory" | "indexeddb";
  write(entry: JournalEntry): Promise<void>;
  erase(taskIds: readonly string[]): Promise<void>;
  /** The tab's entries, oldest first. */
  read(tabId: string): Promise<readonly JournalEntry[]>;
}
