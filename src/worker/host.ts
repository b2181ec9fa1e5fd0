import { createCoordinator, step } from "../core/coordinator.ts";
import type { PortKey } from "../core/facts.ts";
import { build } from "../protocol/build.ts";
import type { Epoch } from "../protocol/ids.ts";
import { formerWorkerNames, hostLock } from "../protocol/names.ts";
import type { HostMode } from "../protocol/session-api.ts";
import { createAccounts } from "./accounts.ts";
import type { PortLike } from "./endpoint.ts";
import { openJournal } from "./journal/open-journal.ts";
import type { LocksLike } from "./page-lock.ts";
import { servePort } from "./port.ts";
import { createRuntime, type Runtime } from "./runtime.ts";
import type { UploadRequestLike } from "./server/files.ts";
import type { BlockOf, FetchLike } from "./server/http.ts";
import { createSockets, type OpenSocket } from "./server/socket.ts";
import { isTabThere } from "./tab-probe.ts";
import { after } from "./timers.ts";
import { createTransfers, type Transfers } from "./transfers.ts";

/** What the host needs of the realm it runs in. */
export interface Realm {
  readonly mode: HostMode;
  readonly epoch: string;
  /** The worker's (`self.name`): hosts of the same name find each other's tasks. */
  readonly name: string;
  /** Undefined where there is none. Where it is refused, the access itself may throw. */
  readonly indexedDB: (() => IDBFactory) | undefined;
  readonly fetch: FetchLike;
  readonly blockOf: BlockOf;
  readonly openSocket: OpenSocket;
  /** Undefined where there is no `XMLHttpRequest`. */
  readonly newRequest: (() => UploadRequestLike) | undefined;
  readonly locks: LocksLike | undefined;
  /** Whether nobody holds the lock, nor waits for it. Undefined where it cannot be told. */
  readonly isLockFree: ((name: string) => Promise<boolean>) | undefined;
  readonly openChannel: ((name: string) => BroadcastChannel) | undefined;
  readonly afterThisTask: (then: () => void) => void;
  /** Ends the worker. */
  readonly close: () => void;
  readonly log: (level: "debug" | "warn", message: string) => void;
}

/** A lock manager that does not grant a name which nobody else can have is broken; work goes on without it. */
const lockPatienceMs = 2000;

/** Puts the parts together: one coordinator, its runtime, and an endpoint for every port that connects. */
export function createHost(realm: Realm): { connect(port: PortLike): void; readonly runtime: Runtime } {
  const { epoch, mode, fetch, blockOf, locks, log } = realm;
  const journal = openJournal({
    indexedDB: realm.indexedDB,
    name: realm.name,
    after,
    onDegraded: (reason) => runtime.tell({ type: "journal-degraded", reason }),
  });
  const accounts = createAccounts();
  const coordinator = createCoordinator({ epoch, mode, build, journal: journal.kind });
  const now = (): number => performance.now();

  let letGo = (): void => {};
  const over = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const hold: Hold | undefined = locks && ((...what) => holdUntil(over, locks, ...what));
  const held = hold ? holdHostLock(hold, epoch, () => retire(), log) : Promise.resolve();
  if (hold && mode === "shared") succeed(hold, realm.name, () => retire(), log);

  const transfers: Transfers = createTransfers({
    accounts,
    fetch,
    blockOf,
    newRequest: realm.newRequest,
    now,
    runtime: () => runtime,
  });
  const runtime: Runtime = createRuntime({
    epoch,
    step: (fact, moment) => step(coordinator, fact, moment),
    clock: { now, wall: Date.now, random: Math.random },
    journal,
    accounts,
    fetch,
    blockOf,
    sockets: (tell) => createSockets(realm.openSocket, tell),
    transfers: () => transfers,
    isDead: async (dead) => realm.isLockFree?.(hostLock(dead as Epoch)).catch(() => false) ?? false,
    isTabThere: (tabId) => isTabThere(realm, tabId).catch(() => false),
    afterThisTask: realm.afterThisTask,
    log,
  });

  runtime.tell({ type: "host-started" });

  /** Tabs went on without it: whatever it still meant to do is another host's to do. Its end tells all others. */
  function retire(): void {
    log("warn", "the tabs have left this host for another one");
    runtime.stop();
    letGo();
    realm.close();
  }

  let lastPort: PortKey = 0;
  return {
    runtime,
    connect(port) {
      lastPort += 1;
      const key = lastPort;
      // A tab that asked for our lock before we hold it would take us for dead. Messages wait in the port.
      void held.then(() => servePort(key, port, { epoch, runtime, accounts, transfers, locks, after, log }));
    },
  };
}

/** Holds a lock until this host is over, or it is stolen. Rejects where locks are refused. */
type Hold = (
  name: string,
  options: Parameters<LocksLike["request"]>[1],
  /** With `null` it is not to be had. */
  granted: (lock: unknown) => void,
  stolen: () => void,
) => Promise<void>;

async function holdUntil(
  over: Promise<void>,
  locks: LocksLike,
  ...[name, options, granted, stolen]: Parameters<Hold>
): Promise<void> {
  let isHeld = false;
  try {
    await locks.request(name, options, (lock) => {
      isHeld = lock !== null;
      granted(lock);
      return isHeld ? over : undefined;
    });
  } catch (thrown) {
    if (!isHeld) throw thrown;
    stolen();
  }
}

/** Its grant to a tab is the notice of our death. Resolves when it is held. */
function holdHostLock(hold: Hold, epoch: string, stolen: () => void, log: Realm["log"]): Promise<void> {
  return new Promise((resolve) => {
    const impatience = setTimeout(() => {
      log("warn", "the host's lock is not granted");
      resolve();
    }, lockPatienceMs);
    const settled = (): void => {
      clearTimeout(impatience);
      resolve();
    };
    hold(hostLock(epoch as Epoch), {}, settled, stolen).catch((thrown: unknown) => {
      log("warn", `the host's lock cannot be held: ${String(thrown)}`);
      settled();
    });
  });
}

/**
 * Of all generations of a name only the newest one's hosts serve. A page goes on to the next when a worker does not
 * answer it, which may well answer others: those have to come along, or two hosts would do the same work.
 */
function succeed(hold: Hold, worker: string, superseded: () => void, log: Realm["log"]): void {
  const failed = (thrown: unknown): void => log("warn", `no lock of a generation: ${String(thrown)}`);
  // Another release's host of this generation takes it: it is ours again when that one ends.
  const keep = (former: string, options: { steal?: true }): void =>
    void hold(
      former,
      options,
      () => {},
      () => keep(former, {}),
    ).catch(failed);
  const granted = (lock: unknown): void => {
    if (lock === null) superseded();
    else for (const former of formerWorkerNames(worker)) keep(former, { steal: true });
  };
  hold(worker, { mode: "shared", ifAvailable: true }, granted, superseded).catch(failed);
}
