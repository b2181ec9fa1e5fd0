import type { ViewOptions } from "../comfy/files.ts";
import type { AnyComfyTabsError } from "../protocol/errors.ts";
import type {
  Auth,
  HostDiagnostics,
  HostMode,
  ServerSnapshot,
  UploadedFile,
} from "../protocol/session-api.ts";
import type { OutputFile, Progress, TaskEventOf, TaskResult, TaskStatus } from "../protocol/tasks.ts";

/** What happens to a task. The last one is its ending, an event like the others: it does not throw. */
export type TaskEvent = TaskEventOf<Blob, AnyComfyTabsError>;

/** A graph in ComfyUI's API format, as "Export (API)" saves it: nodes by id. */
export type Workflow = {
  readonly [nodeId: string]: {
    readonly class_type: string;
    readonly inputs: { readonly [name: string]: unknown };
    readonly _meta?: { readonly title?: string };
  };
};

export interface ConnectOptions {
  /** At least one; a string is its address. Path prefixes, https and a missing `http://` are understood. */
  readonly servers: readonly (string | ServerOptions)[];
  /** Namespace: sessions of different names never share a host. Default `"comfy-tabs"`. */
  readonly name?: string;
  /** `"shared"` and `"solo"` insist; `"auto"` takes the best that this browser can do. Default `"auto"`. */
  readonly mode?: "auto" | HostMode;
  /**
   * Where the worker is, for bundlers that do not follow the package's own URL: the address of
   * `dist/worker.js` (self-contained, also unbundled), or a function that makes it, as a module and with that
   * name: it says who shares a host, and changes when one hangs. Default: beside the client.
   */
  readonly worker?: string | URL | ((kind: "shared" | "dedicated", name: string) => SharedWorker | Worker);
  /**
   * What becomes of tasks whose tab was closed, crashed or discarded, or has closed its last session: `"keep"` them for
   * its return, or cancel them when it has stayed away for so long; one whose server says nothing for a week after that is
   * forgotten. Default `"keep"`.
   */
  readonly whenTabGone?: WhenTabGone;
  /** `"none"`: previews are not sent to this tab. Default `"newest"`. */
  readonly previews?: "newest" | "none";
  /** Default `"warn"`. Every line starts with the tab's window id. The worker has its own lines, in its console. */
  readonly logger?: Logger | "silent" | "warn" | "debug";
}

/** Milliseconds. A tab that comes back in time finds its tasks going on. */
export type WhenTabGone = "keep" | { readonly cancelAfterMs: number };

export interface ServerOptions {
  readonly url: string;
  /**
   * The name of the server in this tab. Default: its address as `http://host:port`, without a slash at the end. Two
   * accounts at one address need one each.
   */
  readonly id?: string;
  /** Share of the work that it gets, compared with other servers. Default 1. */
  readonly weight?: number;
  /**
   * So many unfinished prompts the server has at once, of all tabs together; the rest waits here, and the tabs
   * take turns. `Infinity` sends all at once, for runs that have to go on with no browser open. Default 4.
   */
  readonly depth?: number;
  readonly auth?: Auth;
  /** Types of custom messages that reach every tab which lists them, through `on("message")`. Default none. */
  readonly broadcastTypes?: readonly string[];
}

export interface Logger {
  debug(...message: unknown[]): void;
  warn(...message: unknown[]): void;
}

export interface SubmitOptions {
  /**
   * Id of the server. Default: the one that has the workflow's uploaded files, else one that this tab has locked,
   * else by `affinity`, else the least busy for its weight.
   */
  readonly server?: string;
  /** `"tab"`: where this tab's last task went, for what is cached there. Default `"none"`. */
  readonly affinity?: "tab" | "none";
  /** Before everything that waits there, and before the tab's own tasks that wait here. Default false. */
  readonly front?: boolean;
  /** Kept verbatim in the server's queue and history: do not put secrets there. */
  readonly extraData?: { readonly [key: string]: unknown };
  /**
   * For the task's whole life: aborted before `submit` resolves, that rejects with `aborted` and the task is
   * withdrawn; later it is cancelled.
   */
  readonly signal?: AbortSignal;
  /** Default: the session's. */
  readonly whenTabGone?: WhenTabGone;
  /** For people. */
  readonly label?: string;
}

export interface UploadOptions {
  /** Id of the server. Default: where `submit` would go now. */
  readonly server?: string;
  /** Default: the file's own name, else `"upload.png"`. The server may choose another. */
  readonly filename?: string;
  /** Default: none. */
  readonly subfolder?: string;
  /** The server's folder. Default `"input"`. */
  readonly type?: "input" | "temp" | "output";
  /** Replace a file of this name instead of numbering the new one. Default false. */
  readonly overwrite?: boolean;
  /** The image that this file is the mask of. Its `type` is `"output"` by default. */
  readonly maskOf?: { readonly filename: string; readonly subfolder?: string; readonly type?: string };
  readonly signal?: AbortSignal;
  /** In bytes. */
  readonly onProgress?: (progress: { loaded: number; total: number }) => void;
}

/** The server's own description of its node classes, by name. */
export type ObjectInfo = { readonly [className: string]: { readonly [field: string]: unknown } };

export interface Diagnostics extends HostDiagnostics {
  /** Why the mode is not what was hoped for. */
  readonly reason?: string;
  /** Whether Web Locks tell who is alive: else only silence does, after minutes. */
  readonly locks: boolean;
  readonly tabId: string;
  readonly windowId: string;
}

export interface SessionEvents {
  /** A server's connection, version or error has changed. */
  readonly connection: ServerSnapshot;
  /** A server's queue has changed. */
  readonly queue: { readonly serverId: string; readonly queueRemaining: number };
  /** Somebody has locked a server or let go of it. */
  readonly lock: { readonly serverId: string; readonly lock: ServerSnapshot["lock"] };
  /**
   * The host was chosen or replaced; `reason` is there when it is not what was hoped for. A new listener
   * hears of the host in force.
   */
  readonly mode: { readonly mode: HostMode; readonly epoch: string; readonly reason?: string };
  /**
   * A server has refused this tab's credentials, or wants some: tasks for it wait for {@link Session.setAuth}. A
   * new listener hears of those that wait already.
   */
  readonly "auth-required": { readonly serverId: string };
  /** The list of own tasks: one has come, was accepted, has ended or was dismissed. */
  readonly tasks: readonly Task[];
  /** A custom message of one of the types in `broadcastTypes`. */
  readonly message: { readonly serverId: string; readonly type: string; readonly data: unknown };
}

export interface LockOptions {
  /** `"shared"` pins this tab's tasks to the server; `"exclusive"` also keeps other tabs' new tasks off it. Default `"shared"`. */
  readonly mode?: "exclusive" | "shared";
  /** Do not wait: null where it cannot be had at once. Default false. */
  readonly ifAvailable?: boolean;
  /** Take it from whoever has it; their `lost` resolves. Exclusive, and without `ifAvailable`. Default false. */
  readonly steal?: boolean;
  /** Ends the wait, not the lock. */
  readonly signal?: AbortSignal;
}

/**
 * Held by the tab until it is released, its session closed, or it is stolen. It outlives its page by 5 seconds: a page
 * that is loaded anew keeps it by asking for it again.
 */
export interface ServerLock {
  readonly serverIds: readonly string[];
  /** Resolves when somebody has stolen it, or a new host could not grant it again. */
  readonly lost: Promise<void>;
  /** Idempotent. */
  release(): Promise<void>;
}

/**
 * What this tab may see and do. After `close` all that asks the host rejects with `closed`, and `on` throws it; lists and
 * `viewUrl` still tell what was known.
 */
export interface Session {
  /** Survives a reload; a duplicated tab has its own. */
  readonly tabId: string;
  /** `window_<ms>_<random>`: for people and logs. */
  readonly windowId: string;
  /**
   * Checks the workflow, makes it a task of this tab and journals it. The task exists when this resolves,
   * and tells the rest by events; a server's refusal is its ending, not a rejection of this.
   *
   * @throws {@link ComfyTabsError} `workflow-format`, `workflow-invalid`, `too-large`, `invalid-option`,
   *   `not-found` (no such server), `aborted`, `closed`; `timeout`, `host-lost` — the host may have the
   *   task all the same, and shows it after the next handshake
   */
  submit(workflow: Workflow, options?: SubmitOptions): Promise<Task>;
  /**
   * Makes a prompt that the app POSTed itself a task of this tab: live events when it was sent with
   * {@link clientId}, the ending in any case. One that the server does not know
   * within half a minute is `lost`.
   *
   * @throws {@link ComfyTabsError} `not-found` — no such server, or another tab's prompt
   */
  register(prompt: { serverId: string; promptId: string; label?: string }): Promise<Task>;
  /** The client id under which this host listens at a server now. */
  clientId(serverId: string): Promise<string>;
  /**
   * Own tasks: open ones, and ended ones until they are dismissed. After a day, or beyond 1,000 of a tab and 5,000 in all,
   * the host forgets ended ones, and a page that is loaded then has them no more. Oldest first.
   */
  tasks(): readonly Task[];
  task(taskId: string): Task | undefined;
  servers(): readonly ServerSnapshot[];
  /**
   * Gives a server other credentials, and lets what waited for them go on. A token that names no account is taken
   * for the same account's; another account's tasks stay with that one's credentials, and what this tab has locked
   * there as another account is lost.
   *
   * @throws {@link ComfyTabsError} `not-found` — no such server; `invalid-option`
   */
  setAuth(serverId: string, auth: Auth): Promise<void>;
  /**
   * Locks a server for this tab, or several, all or none, of those that this page has named; by default the least
   * busy that is free. First come, first served; what this tab has locked is no obstacle to itself. Running and sent
   * tasks stay where they are.
   *
   * @throws {@link ComfyTabsError} `would-deadlock` — whoever has it waits for a lock of this tab's;
   *   `not-found`, `invalid-option`, `aborted`; `unsupported-environment` — in mode `solo`; `host-lost`
   */
  lockServer(
    server?: string | readonly string[],
    options?: LockOptions & { readonly ifAvailable?: false },
  ): Promise<ServerLock>;
  /** @returns null where it was wanted `ifAvailable`, and is not */
  lockServer(server?: string | readonly string[], options?: LockOptions): Promise<ServerLock | null>;
  /**
   * Uploads an image, or with `maskOf` a mask. A task that uses the file goes to the server that has it, for as long as
   * this page stays connected: after a reload, name the file's `serverId` as `server`.
   *
   * @throws {@link ComfyTabsError} `too-large`, `unauthorized`, `server-unreachable`, `aborted`, …
   */
  upload(file: Blob, options?: UploadOptions): Promise<UploadedFile>;
  /**
   * An address for `<img src>`, at the server that ran the task. Carries no credential, unless
   * `withToken` asks for the token of a `query` server: then it is in whatever keeps addresses.
   */
  viewUrl(file: OutputFile, options?: ViewOptions & { withToken?: boolean }): string;
  /** The file's bytes, fetched with the server's credentials. */
  fetchFile(file: OutputFile, options?: ViewOptions & { signal?: AbortSignal }): Promise<Blob>;
  /**
   * The node classes of a server (default: the first that this handle named), fetched once for all tabs.
   *
   * @throws {@link ComfyTabsError} `not-found`, `server-unreachable`, `not-comfyui`, …
   */
  objectInfo(serverId?: string): Promise<ObjectInfo>;
  /** @returns the function that ends it */
  on<K extends keyof SessionEvents>(type: K, listener: (event: SessionEvents[K]) => void): () => void;
  /** What is in force: mode, epoch, sockets, journal. Nothing of other tabs' tasks. */
  diagnostics(): Promise<Diagnostics>;
  /**
   * Ends this handle and its server locks; the host is let go with the page's last one: then the tab counts as gone, and
   * its tasks go on, or become what {@link ConnectOptions.whenTabGone} says, until it connects again. Idempotent.
   */
  close(): Promise<void>;
}

/** One workflow of this tab, from submission to its ending, across reloads. */
export interface Task extends AsyncIterable<TaskEvent> {
  readonly id: string;
  /** Known once a server has accepted it. */
  readonly promptId: string | undefined;
  readonly serverId: string | undefined;
  readonly label: string | undefined;
  /** Epoch milliseconds of the submission. */
  readonly createdAt: number;
  readonly status: TaskStatus;
  /** The newest. */
  readonly progress: Progress | undefined;
  /**
   * May start at any time: what has happened is told first, of fast-changing kinds only the newest.
   *
   * @returns the function that ends it
   */
  on<K extends TaskEvent["type"]>(
    type: K,
    listener: (event: Extract<TaskEvent, { type: K }>) => void,
  ): () => void;
  /**
   * Any number of times, before or after the ending.
   *
   * @throws {@link ComfyTabsError} the task's own error where it `failed`; `cancelled`, `lost`;
   *   `aborted` by the signal; `not-found` after `dismiss`; `closed`
   */
  result(options?: { signal?: AbortSignal }): Promise<TaskResult>;
  /** @returns true when the task stopped because of this; false when it ended otherwise, cannot be stopped, or has not after 30 s */
  cancel(): Promise<boolean>;
  /**
   * Forgets an ended task, or one that was warned of as `stalled` or `not-one-server`.
   *
   * @throws {@link ComfyTabsError} `invalid-option` while another one is open
   */
  dismiss(): Promise<void>;
}
