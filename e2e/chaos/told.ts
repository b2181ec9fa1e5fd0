/**
 * What a page tells the test, at once and on the console: what a page only remembers is gone when it crashes.
 * A page may have died before it told what it had done; nothing is ever told that did not happen.
 */
export type Told = ToldOfPage &
  (
    | { readonly kind: "opened"; readonly tasks: readonly ToldTask[] }
    /** A host was greeted. The first page that a host greets has made it. */
    | { readonly kind: "host"; readonly epoch: string }
    | { readonly kind: "submitting" | "submitted" | "cancelling" | "dismissed"; readonly label: string }
    /** Warned of: its host cannot write down any more what becomes of it. */
    | { readonly kind: "unkept"; readonly label: string }
    | { readonly kind: "refused"; readonly label: string; readonly code: string }
    | { readonly kind: "cancel-answered"; readonly label: string; readonly stopped: boolean }
    | { readonly kind: "accepted"; readonly label: string; readonly promptId: string }
    | ({ readonly kind: "ended" } & ToldEnding)
    /** Something of this task came through the page's port, which the client may have kept to itself. */
    | { readonly kind: "arrived"; readonly taskId: string }
    | {
        readonly kind: "outbox";
        /** Of the host that has answered, some time after it was asked. */
        readonly epoch: string;
        readonly askedAt: number;
        readonly waiting: number;
        readonly unacknowledged: number;
      }
    | { readonly kind: "twins"; readonly epoch: string; readonly seen: number; readonly removed: number }
    /** Out of the back/forward cache. */
    | { readonly kind: "shown-again" }
    | { readonly kind: "stored"; readonly items: Readonly<Record<string, string>> }
    | { readonly kind: "log"; readonly text: string }
  );

interface ToldOfPage {
  /** Names this life of a page: a reload makes another, the back/forward cache does not. */
  readonly page: string;
  readonly tabId: string;
  /** Counts what this page has told. A browser may bring what was told before once more. */
  readonly number: number;
  /** Epoch milliseconds. */
  readonly at: number;
}

export interface ToldTask {
  readonly taskId: string;
  readonly label: string;
  readonly status: string;
}

export interface ToldEnding {
  readonly label: string;
  readonly taskId: string;
  readonly ending: "succeeded" | "failed" | "cancelled" | "lost";
  /** The error's code, the reason of a loss, or who cancelled. */
  readonly why?: string;
  /** The texts in its result: the run that made them says whose it was. */
  readonly texts?: readonly string[];
}

/** The first word of a console line that is for the test. */
export const mark = "comfy-tabs-chaos";

export function readTold(line: string): Told | undefined {
  return line.startsWith(`${mark} `) ? JSON.parse(line.slice(mark.length + 1)) : undefined;
}

/** Whose a task is stands in its label. */
export const labelOf = (tabId: string, number: number | string): string => `${tabId}#${number}`;
export const ownerOf = (label: string): string => label.replace(/#.*/, "");
