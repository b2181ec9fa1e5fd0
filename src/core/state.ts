import type { NodeFailure, ServerMessage } from "../comfy/messages.ts";
import type { Abilities } from "../comfy/versions.ts";
import type { WireError } from "../protocol/errors.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { Mailbox } from "../protocol/mailbox.ts";
import type { HostEvent, HostMode, Submission } from "../protocol/session-api.ts";
import type { PortTaskEvent, TaskResult, TaskStatus } from "../protocol/tasks.ts";
import type { Effect } from "./effects.ts";
import type {
  CallKey,
  DeclaredServer,
  Moment,
  PortHello,
  PortKey,
  RequestKey,
  SocketKey,
  WriteKey,
} from "./facts.ts";
import type { Locks } from "./locks.ts";

/** Everything the host knows. Only `step` changes it. */
export interface Coordinator {
  readonly epoch: string;
  readonly mode: HostMode;
  readonly build: string;
  journal: "memory" | "indexeddb";
  /** The journal had to go on in memory: tasks would not survive the end of the host. */
  journalDegraded: boolean;
  /** A page has noted, for the next host, that this one's journal failed. */
  lossNoted: boolean;
  /** Hosts whose journal has failed, as pages have told, the last one at the end; see `Hello`. */
  losses: readonly string[];

  readonly ports: Map<PortKey, Port>;
  readonly tabs: Map<string, Tab>;
  readonly servers: Map<ServerKey, Server>;
  readonly tasks: Map<string, Task>;
  readonly locks: Locks;

  /** Sockets that count. One that we have closed is not here, whatever the platform still says of it. */
  readonly sockets: Map<SocketKey, ServerKey>;
  readonly requests: Map<RequestKey, Purpose>;
  /** With the generation that the write carries: a claim of our own may have raised it meanwhile. */
  readonly writes: Map<WriteKey, WritePurpose & { readonly generation: number }>;
  readonly claims: Map<WriteKey, ClaimPurpose>;
  /** Calls that wait for their answer. */
  readonly calls: Map<CallKey, PortKey>;
  readonly timers: Map<string, Timer>;
  readonly twins: { seen: number; removed: number };
  /** Tasks that were dismissed here last: a former host that was held up may journal one of them anew. */
  readonly dismissed: Set<string>;
  /** Former hosts' client ids that a socket of ours was opened under. */
  readonly inherited: Set<string>;

  /** Pages whose hello waits for the journal, and whether they went into the back/forward cache meanwhile. */
  readonly arriving: Map<PortKey, { suspended: boolean }>;
  /** The source of all keys that the core mints. */
  lastKey: number;
  /** Told to pages that name no server yet: the next server's. */
  nextClientId: string | undefined;
  /** In this step a server has become reachable, a place there free, or a task has to be sent. */
  sendWaiting: boolean;
  /** When the waiting tasks were last told their positions. */
  positionsAt: number;
  /** What the runtime was last told to wake us at. */
  wakeAt: number | undefined;

  /** Only while a step runs. */
  moment: Moment;
  effects: Effect[];
  readonly touchedPorts: Set<Port>;
}

/** One link to one page of a tab. */
export interface Port {
  readonly key: PortKey;
  readonly tabId: string;
  readonly windowId: string;
  readonly previews: "newest" | "none";
  /** It notes a journal that fails. */
  readonly notes: boolean;
  /** The servers that this page has named itself, by their ids: those it names to the next host, too. */
  readonly named: Set<string>;
  readonly outbox: Mailbox<HostEvent>;
  /** Sent and not yet acknowledged, oldest first. */
  readonly flying: { readonly batch: number; readonly bytes: number }[];
  lastBatch: number;
  lastMessage: number;
  /** Of the custom messages in the outbox. */
  messageBytes: number;
  /** A tick is on its way: what arrives until it is back makes one batch. */
  gathering: boolean;
  /** The page is in the back/forward cache, where a message would evict it. */
  suspended: boolean;
  /** Since it was heard. Never above 0 where its end is told by a lock, or ends the host as well. */
  silentRounds: number;
}

/** A tab across its pages. It outlives its ports: a reloaded tab comes back for its tasks. */
export interface Tab {
  readonly tabId: string;
  readonly secret: string;
  readonly ports: Set<PortKey>;
  /** The servers this tab may see and use, by its own names for them. */
  readonly servers: Map<string, DeclaredServer>;
  /** When a task of it was last given a server, in the order of all such turns. */
  lastTurn: number;
  /** Where that one went. */
  lastServer: ServerKey | undefined;
  /** Claims and adoptions under way. What is written before they are answered would carry a generation of the past. */
  claiming: number;
  readonly heldWrites: WritePurpose[];
}

/** Our standing with one server, across many sockets. Exactly one of these holds at any moment. */
export type Connection =
  | { readonly at: "idle" }
  | { readonly at: "connecting"; readonly socket: SocketKey; readonly attempt: number }
  /** The server has spoken on this socket: it is registered under our client id. */
  | { readonly at: "open"; readonly socket: SocketKey; readonly since: number }
  | { readonly at: "waiting"; readonly attempt: number; readonly until: number };

export interface Server {
  readonly key: ServerKey;
  readonly url: string;
  connection: Connection;
  clientId: string;
  /** A former host's client id, while it is found out whether that host is dead. */
  inheriting: string | undefined;
  socketsOpened: number;
  /** The attempt to go on with when a connection that never proved itself is lost. */
  attempt: number;
  queueRemaining: number | undefined;
  queueFellAt: number;
  hearing: Hearing;
  version: string | undefined;
  abilities: Abilities | undefined;
  error: WireError | undefined;
  /** Its HTTP is of no use to this page, as `error` says: nothing is sent there. */
  barred: boolean;
  /** It has known again what it did not know: several servers share the address. */
  divided: boolean;
  /** The most that a tab lets it have. */
  depth: number;
  /** Look-ups that failed in a row, since when, and until when it gets nothing new for that. */
  aside: { failures: number; since: number; until: number };
  /** Prompt id → task: written before the POST, so that no frame can come too early. */
  readonly routes: Map<string, string>;
  /** The tasks among them that have not ended. */
  readonly open: Set<string>;
  /** Tasks whose second run was asked to stop. */
  readonly twinned: Set<string>;
  /**
   * The prompt between its `execution_start` and its `executing{null}` on the present socket. Frames
   * without a prompt id are its own, and nobody's when it is not ours. Undefined: unknown or none.
   */
  running: string | undefined;
  /** Messages of prompts that nobody owns yet; see `routing.ts`. */
  readonly unclaimed: Map<string, Unclaimed>;
  survey: Survey;
}

/** Whether the present socket still hears the server: ComfyUI may unregister it and leave it open. */
export interface Hearing {
  /** When the last frame came. */
  lastAt: number;
  probe: RequestKey | undefined;
  /** Since when `GET /prompt` and the last `status` differ, without a frame in between. */
  differsSince: number | undefined;
  /** How often in a row a new client id was taken for deafness; the patience doubles with it. */
  rotations: number;
}

/** What came for a prompt that has no owner yet. */
export interface Unclaimed {
  readonly since: number;
  readonly socket: SocketKey;
  readonly messages: ServerMessage[];
  bytes: number;
}

/** Asking the server for its whole queue: one answer serves all tasks there. */
export interface Survey {
  request: RequestKey | undefined;
  /** When the next one is wanted, as far as that was said while one was under way. */
  nextAt: number;
  lastAt: number;
  /** A POST was accepted since the last answer: one look at the queue is owed, also when nothing is open. */
  owed: boolean;
  /** Look-ups in the history that wait for one of two places. */
  readonly waiting: Map<string, number>;
  active: number;
}

/** Where a task stands. What a user sees of it is `statusOf`. */
export type Stage =
  /** `calls` are answered when the journal has it. */
  | { readonly at: "journalling"; readonly calls: CallKey[]; readonly since: number }
  /** For a server that can be reached. */
  | { readonly at: "waiting" }
  /** The journal is told where it goes; its answer says whether the task is still ours to send. */
  | { readonly at: "committing"; readonly since: number }
  | { readonly at: "posting"; readonly request: RequestKey }
  /** The POST had no clear answer: looked up in its quarantine, then sent again once. */
  | { readonly at: "unsure"; readonly reason: string }
  | { readonly at: "queued" }
  | { readonly at: "running" }
  /** The ending is decided and being journalled. */
  | { readonly at: "settling"; readonly ending: Ending; readonly was: TaskStatus }
  | { readonly at: "settled"; readonly status: TaskStatus; readonly atWall: number };

export type Ending =
  | { readonly type: "succeeded"; readonly result: TaskResult }
  | { readonly type: "failed"; readonly error: WireError }
  | { readonly type: "cancelled"; readonly by: "owner" | "other" }
  | { readonly type: "lost"; readonly reason: "server-restarted" | "removed" };

export interface Task {
  readonly id: string;
  readonly tabId: string;
  readonly label: string | undefined;
  readonly createdAt: number;
  readonly registered: boolean;
  /** Calls that have registered it, and wait until the journal has it. */
  readonly registrations: CallKey[];
  /** Only what a tab remembers tells of it, or of its POST: it is looked for before it is sent. */
  adopted: boolean;
  /** The hosts it has had; see `JournalEntry`. */
  generation: number;
  /** The journal has been told of it. */
  journalled: boolean;
  /** It came out of the journal before its tab, which alone says where it may go, and may know where it went. */
  unmet: boolean;
  /** See `JournalEntry`. */
  lastLoss: string | undefined;
  /** The client id under which it was POSTed last. */
  clientId: string | undefined;
  /** What happens when the page goes: undefined keeps it. */
  cancelAfterMs: number | undefined;
  /** When it will be cancelled unless the page comes back; epoch milliseconds. */
  cancelAt: number | undefined;
  /** Taken over from another host, and no frame of it has come yet: it is asked for more often. */
  unheard: boolean;
  /** The owner was told that nothing moves. */
  stalled: boolean;
  /** A second run under its id was seen. */
  twin: boolean;
  /** The owner was told `not-one-server`: that nobody knows it is no evidence. */
  adrift: boolean;
  submission: Submission | undefined;
  /** Kept until a server has accepted it. */
  workflow: string | undefined;
  promptId: string;
  serverKey: ServerKey | undefined;
  /** The owner's name for the server. */
  serverId: string | undefined;
  /** Why it is that one. */
  chosen: string | undefined;
  /** What the owner was last told that it waits for. */
  waitsFor: string | undefined;
  /** Where it may go, in the owner's order. */
  candidates: readonly DeclaredServer[];
  stage: Stage;
  accepted: boolean;
  /** The server's own number of it in its queue: another one under the same id is a second item. */
  number: number | undefined;
  posts: number;
  /** How often each server wanted other credentials instead of taking it. */
  readonly refusals: Map<ServerKey, number>;
  /** The socket that has been unbroken since before the POST: its frames are the whole truth. */
  witness: SocketKey | undefined;
  /** Until then a POST of it may still be on its way, whatever look-ups say. */
  quarantineUntil: number;
  /** When the present round of asking its servers began, where nobody knows which of them has it. */
  roundAt: number;
  /** A frame has said that it began. */
  startSeen: boolean;
  /** The queue has fallen by its end. */
  fallSeen: boolean;
  /** When a look-up first said that it has ended, while its frames had not. */
  endSeenAt: number | undefined;
  /** What a terminal frame said; `executing{null}` says when. */
  verdict: "success" | "interrupted" | NodeFailure | undefined;
  /** `executing{null}` came, and left the ending to the history. */
  endHeard: boolean;
  /** An output was dropped, null or unreadable: the result is read from the history. */
  outputsIncomplete: boolean;
  outputBytes: number;
  readonly outputs: Map<string, unknown>;
  seq: number;
  /** What a reader who comes late is told. */
  readonly record: Mailbox<PortTaskEvent>;
  warnings: number;
  readonly nodeProgress: Map<string, { value: number; max: number }>;
  cachedNodes: number;
  overall: number | undefined;
  currentNode: string | undefined;
  position: number | undefined;
  /** Clean look-ups in a row that did not find it, and when the first and the last of them were. */
  misses: number;
  missingSince: number;
  missedAt: number;
  /** Why it may be gone: set when the socket broke or the queue fell unexplained since it was last known. */
  suspicion: "socket-broke" | "queue-fell" | undefined;
  /** Since when: what a look-up that was asked earlier has found says nothing about it. */
  suspectedAt: number;
  lastNewsAt: number;
  cancel: Cancel | undefined;
}

/** The owner wants it stopped. */
export interface Cancel {
  readonly calls: CallKey[];
  /** Nothing is sent before the journal has the intent. */
  intent: "new" | "written" | "journalled";
  request: RequestKey | undefined;
  /** The server has said that it let go of it. */
  confirmedAt: number | undefined;
  /** Nothing that this server offers would stop this task alone. */
  hopeless: boolean;
}

/** What a request was for. */
export type Purpose =
  | { readonly for: "post"; readonly task: string }
  | { readonly for: "version"; readonly server: ServerKey }
  /** Asked twice, first without a look at the answer. */
  | { readonly for: "diagnosis"; readonly server: ServerKey; readonly answers: boolean }
  /** Whether the socket is deaf. */
  | { readonly for: "hearing"; readonly server: ServerKey }
  | { readonly for: "twin"; readonly server: ServerKey }
  | { readonly for: "survey"; readonly server: ServerKey; readonly startedAt: number }
  | {
      readonly for: "history";
      readonly server: ServerKey;
      readonly task: string;
      readonly promptId: string;
      /** When the look-up began, with the queue. */
      readonly askedAt: number;
    }
  | { readonly for: "cancel"; readonly task: string; readonly step: "job" | "delete" | "interrupt" };

export type WritePurpose =
  | { readonly for: "submission"; readonly task: string }
  | { readonly for: "registration"; readonly task: string }
  | { readonly for: "post"; readonly task: string }
  | { readonly for: "ending"; readonly task: string }
  | { readonly for: "cancel"; readonly task: string }
  | { readonly for: "progress"; readonly task: string }
  /** The first of a task that only its tab remembers: another host may write the same one just now. */
  | { readonly for: "adoption"; readonly task: string; readonly tabId: string };

/** What a claim was for. */
export type ClaimPurpose =
  | { readonly for: "hello"; readonly port: PortKey; readonly call: CallKey; readonly hello: PortHello }
  /** Another host wrote what this one has to do with a page that is here. */
  | { readonly for: "again"; readonly tabId: string }
  | { readonly for: "overdue" };

export type Timer = { readonly at: number } & (
  | { readonly timer: "expire" }
  | { readonly timer: "overdue" }
  /** Nobody came back for a lock, or former locks were all claimed. */
  | { readonly timer: "locks" }
  /** The waiting tasks are told how many are before them. */
  | { readonly timer: "backlog" }
  /** A server was put aside long enough. */
  | { readonly timer: "aside"; readonly server: ServerKey }
  | { readonly timer: "hearing"; readonly server: ServerKey }
  /** The tab has not come back. */
  | { readonly timer: "abandoned"; readonly task: string }
  | { readonly timer: "connect"; readonly server: ServerKey }
  /** Whether a server can be used by now. */
  | { readonly timer: "barred"; readonly server: ServerKey }
  | { readonly timer: "survey"; readonly server: ServerKey }
  | { readonly timer: "cancel-again"; readonly task: string }
  | { readonly timer: "cancel-deadline"; readonly task: string }
  | { readonly timer: "handshake"; readonly server: ServerKey; readonly socket: SocketKey }
);
