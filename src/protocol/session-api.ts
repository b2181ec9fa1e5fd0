import type { WireError } from "./errors.ts";
import type { PortTaskEvent, TaskSnapshot } from "./tasks.ts";

/**
 * What a tab may call at its host: the Comlink surface of one port. Every argument is a short string,
 * JSON text, or (in `upload` only) one Blob; whatever else arrives is refused.
 * All calls are idempotent, so that they can be repeated at a new host.
 *
 * @typeParam Bytes the platform's `Blob`, which this folder cannot name
 */
export interface SessionApi<Bytes> {
  /** The first call on a port. @param hello JSON of {@link Hello} */
  hello(hello: string): Promise<Answer<Welcome>>;
  /** More servers for this tab. @param servers JSON of `ServerDeclaration[]` */
  addServers(servers: string): Promise<Answer<null>>;
  /**
   * Renews or changes a server's credentials. @param auth JSON of {@link Auth}
   * @returns the account that they are of, by the host's name for it: to be named in every later hello
   */
  setAuth(serverId: string, auth: string): Promise<Answer<string>>;
  /** @param submission JSON of {@link Submission} @param workflow the workflow's JSON */
  submit(submission: string, workflow: string): Promise<Answer<TaskSnapshot>>;
  /** @param registration JSON of {@link Registration} */
  register(registration: string): Promise<Answer<TaskSnapshot>>;
  /** @param serverId empty: the id at the server that a page will most likely name, where it has named none yet */
  clientId(serverId: string): Promise<Answer<string>>;
  cancel(taskId: string): Promise<Answer<boolean>>;
  dismiss(taskId: string): Promise<Answer<null>>;
  /** @param upload JSON of {@link UploadRequest} */
  upload(upload: string, file: Bytes): Promise<Answer<UploadedFile>>;
  /** Stops an upload or a download of this tab. @param transferId as given in its request */
  abort(transferId: string): Promise<Answer<null>>;
  /** @param request JSON of {@link FileRequest} */
  fetchFile(request: string): Promise<Answer<Bytes>>;
  /** The server's `/object_info` as text: parsed by the tab that wants it, not by the worker. */
  objectInfo(serverId: string): Promise<Answer<string>>;
  /** @param lock JSON of {@link KnownLock} */
  lockServer(lock: string): Promise<Answer<LockState>>;
  /** Frees a lock, or ends the wait for it. */
  unlockServer(lockId: string): Promise<Answer<null>>;
  diagnostics(): Promise<Answer<HostDiagnostics>>;
}

export type SessionMethod = keyof SessionApi<unknown>;

/** What each method takes, at least: a newer tab may send one argument more. */
export const sessionParameters: {
  readonly [Method in SessionMethod]: readonly ("text" | "blob")[];
} = {
  hello: ["text"],
  addServers: ["text"],
  setAuth: ["text", "text"],
  submit: ["text", "text"],
  register: ["text"],
  clientId: ["text"],
  cancel: ["text"],
  dismiss: ["text"],
  upload: ["text", "blob"],
  abort: ["text"],
  fetchFile: ["text"],
  objectInfo: ["text"],
  lockServer: ["text"],
  unlockServer: ["text"],
  diagnostics: [],
};

/** The methods that a port lets through; nothing else of the host can be reached. */
export const sessionMethods = Object.keys(sessionParameters) as readonly SessionMethod[];

/** Errors cross as values: an exception would lose its code. */
export type Answer<T> = { readonly ok: T } | { readonly error: WireError };

/** Longest workflow, in characters of JSON. */
export const workflowLimit = 16 * 1024 * 1024;
/** Longest other argument, in characters. */
export const argumentLimit = 1024 * 1024;

export type Auth =
  | {
      readonly type: "basic";
      readonly username: string;
      readonly password: string;
      readonly account?: string;
    }
  | { readonly type: "bearer"; readonly token: string; readonly account?: string }
  /** Sent as a query parameter: the only credential that a WebSocket in a browser can carry. Default name `token`. */
  | { readonly type: "query"; readonly token: string; readonly name?: string; readonly account?: string }
  | { readonly type: "cookie"; readonly account?: string };

export const defaultDepth = 4;

/** A server as a tab declares it. `url` is normalised by the tab: http(s), no trailing slash, no query. */
export interface ServerDeclaration {
  readonly id: string;
  readonly url: string;
  readonly weight?: number;
  /** So many unfinished prompts it has at once; the rest waits here. Absent: {@link defaultDepth}. */
  readonly depth?: number;
  readonly auth?: Auth;
  readonly broadcastTypes?: readonly string[];
}

export interface Hello {
  readonly protocol: { readonly major: number; readonly minor: number };
  readonly build: string;
  readonly portId: string;
  readonly tabId: string;
  /** Proves that a later port with this `tabId` is the same tab. */
  readonly tabSecret: string;
  /** Minted just now: no host and no journal can know of it. Absent: false. */
  readonly isNew?: boolean;
  readonly windowId: string;
  readonly servers: readonly ServerDeclaration[];
  /** What the tab itself remembers of its tasks: a new host without a journal starts from this. */
  readonly tasks: readonly KnownTask[];
  /** What the page held at its former host, or waited for there. Absent: this is its first. */
  readonly locks?: readonly KnownLock[];
  readonly previews: "newest" | "none";
  /** Whether the tab holds a Web Lock named after its port, for the host to wait on. */
  readonly hasLock: boolean;
  /** It has asked for that lock, and says `locked` when it has it, before its first call. Since 1.1. Absent: false. */
  readonly hasLockSoon?: boolean;
  /**
   * Hosts whose journal has failed, as the origin's pages have noted it: their epochs, the last one at the end, with
   * spaces between. What was journalled when the last one was another is old. Since 1.1. Absent: none.
   */
  readonly losses?: string;
  /** Where there are no locks: no other page answers to this tab's id. */
  readonly hasAsked?: boolean;
}

/** A lock on one server or several, all or none. The page makes its id, so that asking again is harmless. */
export interface KnownLock {
  readonly lockId: string;
  readonly mode: "exclusive" | "shared";
  /** Of those that this page has named. Absent: the least busy that is free. */
  readonly servers?: readonly string[];
  readonly ifAvailable?: boolean;
  readonly steal?: boolean;
  /** It was granted by a former host. */
  readonly held?: boolean;
}

export interface LockState {
  readonly lockId: string;
  /** `deadlock`: another lock was taken over this one, and now two tabs would wait for each other. */
  readonly state: "granted" | "waiting" | "unavailable" | "lost" | "deadlock";
  readonly serverIds: readonly string[];
}

export interface KnownTask {
  readonly taskId: string;
  readonly promptId?: string;
  readonly serverId?: string;
  readonly label?: string;
  readonly lastSeq: number;
  readonly settled: boolean;
  /** The last of the `losses` of which its host had heard, if its own journal had not failed. Since 1.1. */
  readonly lastLoss?: string;
  /** Its app has sent it by itself: that there is a `serverId` says nothing of the server. Absent: false. Since 1.1. */
  readonly registered?: boolean;
  /** Its owner has dismissed it at a host whose journal had failed: one that has it is old. Absent: false. */
  readonly dismissed?: boolean;
}

export type Welcome =
  | {
      readonly protocol: { readonly major: number; readonly minor: number };
      readonly build: string;
      readonly epoch: string;
      readonly mode: HostMode;
      readonly servers: readonly ServerSnapshot[];
      readonly tasks: readonly TaskSnapshot[];
      /** Of what the page brought along; what is missing is lost. Absent: none. */
      readonly locks?: readonly LockState[];
      /** What the host does is written nowhere that outlives it. Absent: it is. */
      readonly journal?: "memory";
    }
  /** Another tab is alive under this `tabId`: mint a new one and say hello again. */
  | { readonly refused: "tab-id-taken"; readonly epoch: string };

export type HostMode = "shared" | "solo";

export interface Submission {
  readonly taskId: string;
  readonly promptId: string;
  /** The server the app asked for. */
  readonly server?: string;
  /** Servers that hold files this workflow uses: it goes to one of them, as far as the tab names any. */
  readonly filesAt?: readonly string[];
  /** How many nodes the workflow has: what `overall` progress is measured against. */
  readonly nodes?: number;
  readonly affinity?: "tab" | "none";
  readonly front?: boolean;
  readonly extraData?: { readonly [key: string]: unknown };
  readonly label?: string;
  /** Cancels the task when its tab has been gone for so long. Absent: it is kept. */
  readonly cancelAfterMs?: number;
}

export interface Registration {
  readonly taskId: string;
  readonly serverId: string;
  readonly promptId: string;
  readonly label?: string;
  readonly cancelAfterMs?: number;
}

export interface UploadRequest {
  /** Names the transfer in progress events and in `abort`. */
  readonly transferId: string;
  readonly server?: string;
  readonly kind: "image" | "mask";
  readonly filename: string;
  readonly subfolder?: string;
  readonly type?: "input" | "temp" | "output";
  readonly overwrite?: boolean;
  /** For a mask: the image it belongs to. */
  readonly original?: { readonly filename: string; readonly subfolder: string; readonly type: string };
}

export interface UploadedFile {
  /** The name that the server chose, which may differ from the one asked for. */
  readonly name: string;
  readonly subfolder: string;
  readonly type: string;
  readonly serverId: string;
  /** What a node's input wants to hear: `subfolder/name`, and behind it ` [temp]` or ` [output]` where it is there. */
  readonly input: string;
}

export interface FileRequest {
  readonly transferId: string;
  readonly serverId: string;
  /** A path below the server's address, with query: `/view?filename=…`. */
  readonly path: string;
}

export interface ServerSnapshot {
  readonly id: string;
  readonly url: string;
  readonly connection: "idle" | "connecting" | "open" | "waiting";
  /** Pending and running prompts of everybody; undefined until the server has said. */
  readonly queueRemaining: number | undefined;
  readonly version: string | undefined;
  /** Why it cannot be used, also where it is connected. */
  readonly error?: WireError;
  /** Absent: nobody has locked it. */
  readonly lock?: { readonly mode: "exclusive" | "shared"; readonly by: "this-tab" | "another-tab" };
}

export interface HostDiagnostics {
  readonly mode: HostMode;
  readonly epoch: string;
  readonly build: string;
  readonly protocol: string;
  readonly journal: "memory" | "indexeddb";
  /** Live ports, this tab's among them. */
  readonly tabs: number;
  readonly servers: readonly {
    readonly id: string;
    readonly url: string;
    readonly connection: ServerSnapshot["connection"];
    /** Sockets the host holds to this server: 0 or 1. */
    readonly sockets: number;
    readonly socketsOpened: number;
    readonly clientId: string | undefined;
    readonly version: string | undefined;
  }[];
  readonly outbox: { readonly waiting: number; readonly unacknowledged: number };
  /** Own tasks only. */
  readonly tasks: { readonly open: number; readonly settled: number };
  /** Why its tasks are where they are. */
  readonly placements: readonly {
    readonly taskId: string;
    readonly serverId: string;
    readonly why: string;
  }[];
  /** Second runs under an id of this host's that were seen, and removed before they ran. */
  readonly twins: { readonly seen: number; readonly removed: number };
}

/** What a host tells a tab without being asked, batched, on the same port as the calls' answers. */
export interface EventEnvelope {
  readonly comfyTabs: "events";
  readonly epoch: string;
  /** Counts up by one on each port, from 1. To be acknowledged. */
  readonly batch: number;
  readonly events: readonly HostEvent[];
}

export type HostEvent =
  | { readonly kind: "task"; readonly event: PortTaskEvent }
  | { readonly kind: "server"; readonly server: ServerSnapshot }
  | {
      readonly kind: "transfer";
      readonly transferId: string;
      readonly loaded: number;
      readonly total: number;
    }
  /** A lock that was waited for is granted, or would be waited for without end now; or one that was held is stolen. */
  | ({ readonly kind: "lock" } & LockState)
  /** What the host does from here on is written nowhere that outlives it. */
  | { readonly kind: "journal"; readonly journal: "memory" }
  /** A custom message of a type that this tab's `broadcastTypes` lists. */
  | {
      readonly kind: "message";
      /** Counts up on each port. */
      readonly number: number;
      readonly serverId: string;
      readonly type: string;
      readonly data: unknown;
    };

/** What a tab tells its host without expecting an answer. */
export type TabEnvelope =
  /** All batches up to this one have been taken. Flow control only. */
  | { readonly comfyTabs: "ack"; readonly batch: number }
  /** The page has the lock that its hello promised. Since 1.1. */
  | { readonly comfyTabs: "locked" }
  /** The page has noted, where all pages of the origin find it, that this host's journal has failed. Since 1.1. */
  | { readonly comfyTabs: "noted" }
  /** The page goes into the back/forward cache, where a message would evict it. */
  | { readonly comfyTabs: "suspend" }
  | { readonly comfyTabs: "resume" }
  /** The page goes away. A hint: the tab's lock has the last word. */
  | { readonly comfyTabs: "goodbye" };

/** Acknowledge at least every so many batches, and every so many bytes of previews. */
export const acknowledgeEvery = { batches: 8, bytes: 1024 * 1024 } as const;
