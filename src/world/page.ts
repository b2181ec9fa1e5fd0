import type { DeclaredServer, HttpAnswer, TabRequest } from "../core/facts.ts";
import type { Answer, KnownTask } from "../protocol/session-api.ts";
import type { PortTaskEvent, TaskSnapshot } from "../protocol/tasks.ts";
import type { Agenda } from "./agenda.ts";
import type { App } from "./app.ts";
import type { Book } from "./book.ts";
import type { Dice } from "./dice.ts";
import type { HostModel } from "./host-model.ts";
import type { Network, Order } from "./network-model.ts";
import type { PageLock, PageLocks } from "./page-locks.ts";
import type { Storage } from "./storage-model.ts";

/** What a tab keeps in its `sessionStorage`. */
export interface Identity {
  readonly tabId: string;
  readonly secret: string;
  /** Minted by this page, and no host has heard of it yet. */
  isNew: boolean;
  readonly tasks: Map<string, KnownTask>;
}

/** What one page knows of one task. */
export interface TaskLog {
  lastSeq: number;
  ending: PortTaskEvent["type"] | undefined;
  /** It is open under a warning that says that the app decides. */
  adrift: boolean;
  /** The host has said that it exists. */
  known: boolean;
  /** What runs has been told live. */
  heardNode: boolean;
}

/** What a page has around it. */
export interface PageMeans {
  readonly agenda: Agenda;
  readonly dice: Dice;
  readonly book: Book;
  readonly storage: Storage;
  readonly network: Network;
  /** Whether there are Web Locks. Without them only silence tells that a host is gone. */
  readonly hasLocks: boolean;
  /** Whether nobody else has the tab's id, by its lock or because nobody objected. */
  readonly hasClaimed: boolean;
  /** The host that has the name now; started when there is none. */
  host(page: PageModel): HostModel;
  /** The page wants nothing of this host any more. */
  letGo(page: PageModel, host: HostModel): void;
  nextPort(): number;
  nextCall(): number;
  /** It has its first host: the app begins. */
  begin(page: PageModel): void;
  /** Its new host has not granted again what it held. */
  lockLost(page: PageModel, lock: PageLock): void;
  /** Another page is alive under the same id. */
  renew(page: PageModel): void;
  save(page: PageModel): void;
}

export interface PageModel {
  readonly means: PageMeans;
  identity: Identity;
  readonly logs: Map<string, TaskLog>;
  readonly app: App;
  readonly locks: PageLocks;
  readonly isAlive: boolean;
  /** Frozen, or in the back/forward cache: nothing of it runs. */
  readonly isStill: boolean;
  readonly host: HostModel | undefined;
  readonly greeted: boolean;
  /** It has had a host once: the app has its session. */
  readonly isReady: boolean;
  readonly pending: number;
  /** Whether it has named all servers that its app knows. */
  readonly hasNamedAll: boolean;
  /** What it has named. */
  readonly servers: readonly DeclaredServer[];
  start(): void;
  /** Asks a server by itself. */
  ask(server: DeclaredServer, order: Omit<Order, "request">, done: (answer: HttpAnswer) => void): void;
  takeSnapshot(snapshot: TaskSnapshot): void;
  call(request: TabRequest, deadlineMs: number, done: (answer: Answer<unknown>) => void): void;
  expect(known: KnownTask): void;
  /** With other credentials, of this account or another. */
  signIn(url: string, account: string): void;
  forget(taskId: string): void;
  /** The host's lock is free, or has been stolen. */
  hostGone(host: HostModel): void;
  /** Leaves its host for whatever has the name now. */
  leave(): void;
  freeze(): void;
  thaw(): void;
  suspend(): void;
  resume(): void;
  /** @param goodbye as when it is left in order; a crash says none */
  end(goodbye: boolean): void;
}
