import type { PortTaskEvent } from "../protocol/tasks.ts";

/**
 * What outlives the host: one entry a task, written before its POST, before its ending is told, and
 * replaced as a whole. Never a credential.
 */
export interface JournalEntry {
  readonly taskId: string;
  readonly tabId: string;
  readonly tabSecret: string;
  readonly label: string | undefined;
  readonly promptId: string;
  /** The server's address and account as the host names them; undefined until one is chosen. */
  readonly serverKey: string | undefined;
  readonly serverId: string | undefined;
  readonly registered: boolean;
  /** Whether the server has answered the POST with its own acceptance. */
  readonly accepted: boolean;
  readonly cancelWanted: boolean;
  /** Kept only until a server has accepted it. */
  readonly workflow: string | undefined;
  readonly seq: number;
  /** Retained events, the ending among them once there is one. */
  readonly events: readonly PortTaskEvent[];
  /** Epoch milliseconds. */
  readonly createdAt: number;
  readonly settledAt: number | undefined;
}
