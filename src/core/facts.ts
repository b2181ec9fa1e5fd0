import type { ServerMessage } from "../comfy/messages.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { KnownLock, KnownTask, Registration, Submission } from "../protocol/session-api.ts";
import type { JournalEntry, WriteOutcome } from "./journal.ts";

/** Names one live `MessagePort`, as the runtime counts them. Tabs cannot choose it, so they cannot lie about it. */
export type PortKey = number;
/** Names one call of a tab that waits for its answer. */
export type CallKey = number;
/** Names one `WebSocket` object: born, opened, closed, never reopened. */
export type SocketKey = number;
/** Names one HTTP request under way. */
export type RequestKey = number;
/** Names one write to the journal under way. */
export type WriteKey = number;

/** When an input happened, and the randomness it may use: the core has neither clock nor dice. */
export interface Moment {
  /** Monotonic milliseconds: all intervals and deadlines. */
  readonly now: number;
  /** Epoch milliseconds: only to date things for people. */
  readonly wall: number;
  /** One number in [0, 1), fresh for every step. */
  readonly random: number;
}

/** What has happened: the core's only inputs. */
export type Fact =
  | {
      readonly type: "tab-said-hello";
      readonly port: PortKey;
      readonly call: CallKey;
      readonly hello: PortHello;
    }
  | {
      readonly type: "tab-called";
      readonly port: PortKey;
      readonly call: CallKey;
      readonly request: TabRequest;
    }
  | { readonly type: "tab-acknowledged"; readonly port: PortKey; readonly batch: number }
  /** The next host will hear, from whatever page it has, that this one's journal has failed. */
  | { readonly type: "tab-noted"; readonly port: PortKey }
  | { readonly type: "tab-suspended"; readonly port: PortKey }
  | { readonly type: "tab-resumed"; readonly port: PortKey }
  /** The tab's lock was granted to us, or it said goodbye. */
  | { readonly type: "tab-gone"; readonly port: PortKey }
  /** The message that the runtime posted to itself for this port has come back: a batch ends here. */
  | { readonly type: "port-ticked"; readonly port: PortKey }
  | {
      readonly type: "transfer-progressed";
      readonly port: PortKey;
      readonly transferId: string;
      readonly loaded: number;
      readonly total: number;
    }
  /** The runtime is about to answer this port's call itself. */
  | { readonly type: "transfer-ended"; readonly port: PortKey }
  /** @property dead false also where nobody can tell */
  | { readonly type: "host-probed"; readonly server: ServerKey; readonly dead: boolean }
  | { readonly type: "tab-probed"; readonly task: string; readonly lives: boolean }
  | { readonly type: "socket-opened"; readonly socket: SocketKey }
  | {
      readonly type: "message-received";
      readonly socket: SocketKey;
      readonly message: ServerMessage;
      readonly bytes: number;
    }
  | {
      readonly type: "socket-closed";
      readonly socket: SocketKey;
      readonly code: number;
      readonly clean: boolean;
    }
  | { readonly type: "request-answered"; readonly request: RequestKey; readonly answer: HttpAnswer }
  | { readonly type: "journal-written"; readonly write: WriteKey; readonly outcome: WriteOutcome }
  | {
      readonly type: "journal-claimed";
      readonly claim: WriteKey;
      readonly entries: readonly JournalEntry[];
    }
  /** The storage failed or hung: from here on the journal is in memory. */
  | { readonly type: "journal-degraded"; readonly reason: string }
  /** The first of all facts. */
  | { readonly type: "host-started" }
  | { readonly type: "went-online" }
  | { readonly type: "time-passed" };

/** What a tab may ask for, checked for shape at the port, not for rights: that is the core's work. */
export type TabRequest =
  | { readonly method: "addServers"; readonly servers: readonly DeclaredServer[] }
  | {
      readonly method: "setAuth";
      readonly server: DeclaredServer;
      /** Answered when it is done. */
      readonly account: string;
    }
  | { readonly method: "submit"; readonly submission: Submission; readonly workflow: string }
  | { readonly method: "register"; readonly registration: Registration }
  | { readonly method: "clientId"; readonly serverId: string }
  | { readonly method: "cancel"; readonly taskId: string }
  | { readonly method: "dismiss"; readonly taskId: string }
  | { readonly method: "upload"; readonly transferId: string; readonly server?: string }
  | { readonly method: "fetchFile"; readonly transferId: string; readonly serverId: string }
  | { readonly method: "objectInfo"; readonly serverId: string }
  | { readonly method: "lockServer"; readonly lock: KnownLock }
  | { readonly method: "unlockServer"; readonly lockId: string }
  | { readonly method: "diagnostics" };

/** A hello without its credentials: those stay in the runtime. */
export interface PortHello {
  readonly tabId: string;
  readonly tabSecret: string;
  /** No journal can know of it. Absent: it may. */
  readonly isNew?: boolean;
  readonly windowId: string;
  readonly servers: readonly DeclaredServer[];
  readonly tasks: readonly KnownTask[];
  readonly locks?: readonly KnownLock[] | undefined;
  readonly previews: "newest" | "none";
  readonly losses?: string | undefined;
  /** It notes a journal that fails. Absent: it does. */
  readonly notes?: boolean;
  /** The tab holds a lock that tells its life, and one that nobody else has on its id. */
  readonly hasLock: boolean;
  /** No lock tells its life: it calls from time to time. Absent: one does. */
  readonly pings?: boolean;
}

/** A tab's server, resolved by the runtime to the host's key for address and account. */
export interface DeclaredServer {
  readonly id: string;
  readonly key: ServerKey;
  /** Normalised: no trailing slash, no credential. */
  readonly url: string;
  readonly weight: number;
  /** So many unfinished prompts of this host it may have for this tab to send another. */
  readonly depth: number;
  readonly broadcastTypes: readonly string[];
}

/** How an HTTP request ended. A failure is never an answer: it says nothing about the server's state. */
export type HttpAnswer =
  | { readonly status: number; readonly text: string }
  | {
      readonly failure: "network" | "timeout";
      /** What the browser does not let this page reach, as far as it tells. */
      readonly block?: Block;
    };

export type Block = "mixed-content" | "local-network-blocked";
