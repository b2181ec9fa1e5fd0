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
  /**
   * Counts the hosts that the task has had, from 1. Whoever claims a task raises it; what a former host
   * still writes carries a smaller number and is refused.
   */
  readonly generation: number;
  /** The server's address and account as the host names them; undefined until one is chosen. */
  readonly serverKey: string | undefined;
  readonly serverId: string | undefined;
  /** The client id under which it was POSTed last; only its socket hears the task's messages. */
  readonly clientId: string | undefined;
  readonly registered: boolean;
  /** Rebuilt from what its tab remembered: it may have been sent, to any of the tab's servers. */
  readonly adopted: boolean;
  /** How often the POST has gone out, or was about to. */
  readonly posts: number;
  /** Whether the server is known to have it. */
  readonly accepted: boolean;
  readonly cancelWanted: boolean;
  /** The page is gone; unless it comes back, the task is cancelled then. Epoch milliseconds. */
  readonly cancelAt: number | undefined;
  /** What happens when the page goes; see `whenTabGone`. */
  readonly cancelAfterMs: number | undefined;
  /** Kept only until a server has accepted it. */
  readonly workflow: string | undefined;
  /** How it was asked for; without credentials. */
  readonly submission: JournalledSubmission | undefined;
  readonly seq: number;
  /** The last of the hosts whose journal had failed when it was submitted, or was last looked for; see `Hello`. */
  readonly lastLoss: string | undefined;
  /** Retained events, the ending among them once there is one. */
  readonly events: readonly PortTaskEvent[];
  /** Epoch milliseconds. */
  readonly createdAt: number;
  readonly settledAt: number | undefined;
}

export interface JournalledSubmission {
  readonly server?: string;
  readonly filesAt?: readonly string[];
  readonly nodes?: number;
  readonly affinity?: "tab" | "none";
  readonly front?: boolean;
  readonly extraData?: { readonly [key: string]: unknown };
  /** `extraData` held credentials, which are not here: the task cannot be sent by another host. */
  readonly hadCredentials?: true;
}

/** How a write ended. */
export type WriteOutcome =
  /** It is there, as far as this journal goes. */
  | "written"
  /** Another host has the task now, or it was dismissed there. It is no longer ours. */
  | "superseded";
