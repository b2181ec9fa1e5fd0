import type { LossReason, WireError } from "./errors.ts";

export type TaskStatus = "submitting" | "queued" | "running" | "succeeded" | "failed" | "cancelled" | "lost";

export const isSettled = (status: TaskStatus): boolean =>
  ["succeeded", "failed", "cancelled", "lost"].includes(status);

/** A file that a task has made, and where to get it: always at the server that ran the task. */
export interface OutputFile {
  readonly nodeId: string;
  /** What the node calls it in its output, in the singular: `image`, `gif`, `audio`, `video`, … */
  readonly kind: string;
  readonly filename: string;
  readonly subfolder: string;
  /** Where the server keeps it. `temp` is wiped when the server starts. */
  readonly type: "output" | "temp" | "input";
  readonly serverId: string;
  /** Ready for `<img src>` and `fetch`; never carries a credential. */
  readonly url: string;
}

export interface TaskResult {
  readonly taskId: string;
  readonly promptId: string;
  readonly serverId: string;
  /** Each node's output as the server gave it, by node id. */
  readonly outputs: { readonly [nodeId: string]: unknown };
  readonly files: readonly OutputFile[];
}

export interface Progress {
  readonly nodeId: string;
  readonly value: number;
  readonly max: number;
  /** The whole run's share, 0 to 1, where the server tells enough to know it. */
  readonly overall?: number;
}

export type WarningCode =
  /** Not sent yet, or nobody knows whether the server has it; and why. */
  | "waiting"
  /** The server accepted the workflow, but some outputs are invalid and will not run. */
  | "outputs-rejected"
  /** More outputs than are passed on live; the result has them all, unless the server has forgotten the run. */
  | "outputs-dropped"
  /** A node refused its input; what depends on it did not run, the rest goes on. */
  | "node-blocked"
  /** This server cannot stop a running prompt without risk for others; it runs to its end. */
  | "cancel-unsupported"
  /** Running, silent, and the queue does not move. */
  | "stalled"
  /** The address seems to lead to several servers. */
  | "not-one-server"
  /** The task would not survive the end of the host. */
  | "journal-in-memory";

export type GapReason = "reconnecting" | "resumed";

/** What happened to a task. `Image` and `Failure` differ between port and public API, nothing else. */
export type TaskEventOf<Image, Failure> = {
  /** Counts up within the task. Numbers may skip where newer news replaced older. */
  readonly seq: number;
  readonly taskId: string;
  /** Epoch milliseconds, by the host's clock. */
  readonly at: number;
} & (
  | { readonly type: "accepted"; readonly serverId: string; readonly promptId: string }
  /** Prompts that run before this one. */
  | { readonly type: "queued"; readonly position: number }
  | { readonly type: "started" }
  | { readonly type: "cached"; readonly nodeIds: readonly string[] }
  | { readonly type: "node"; readonly nodeId: string; readonly displayNodeId: string }
  | ({ readonly type: "progress" } & Progress)
  | { readonly type: "preview"; readonly nodeId: string | undefined; readonly image: Image }
  | { readonly type: "text"; readonly nodeId: string; readonly text: string }
  | {
      readonly type: "output";
      readonly nodeId: string;
      readonly output: unknown;
      readonly files: readonly OutputFile[];
    }
  | {
      readonly type: "warning";
      readonly code: WarningCode;
      readonly message: string;
      readonly nodeId?: string;
      readonly details?: unknown;
    }
  /** Progress was, or is, not seen. The ending is not at risk. */
  | { readonly type: "gap"; readonly reason: GapReason }
  | { readonly type: "succeeded"; readonly result: TaskResult }
  | { readonly type: "failed"; readonly error: Failure }
  | { readonly type: "cancelled"; readonly by: "owner" | "other" }
  | { readonly type: "lost"; readonly reason: LossReason }
);

/** A task event as it crosses a port: bytes instead of a `Blob`, an error in its wire form. */
export type PortTaskEvent = TaskEventOf<ArrayBuffer, WireError>;

/** Everything a tab may know of one of its tasks at one moment. */
export interface TaskSnapshot {
  readonly taskId: string;
  readonly label: string | undefined;
  readonly promptId: string | undefined;
  readonly serverId: string | undefined;
  readonly status: TaskStatus;
  /** The newest event's number; events up to it are in `events` or have been replaced by newer ones. */
  readonly seq: number;
  /** Epoch milliseconds of the submission. */
  readonly createdAt: number;
  /** What a reader who comes now is to be told, in order. */
  readonly events: readonly PortTaskEvent[];
}
