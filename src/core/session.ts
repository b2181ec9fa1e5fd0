import { wireError } from "../protocol/errors.ts";
import type { HostDiagnostics, Registration, Welcome } from "../protocol/session-api.ts";
import { protocolVersion } from "../protocol/version.ts";
import { tabLeft, tabReturned, tasksOf } from "./absence.ts";
import { authRenewed } from "./access.ts";
import { cancelTask } from "./cancel.ts";
import { connect, reachServers, releaseIfUnwanted, releaseUnwanted } from "./connection.ts";
import { answer, deliver, newOutbox } from "./delivery.ts";
import type { CallKey, DeclaredServer, PortHello, PortKey, TabRequest } from "./facts.ts";
import { watchHearing } from "./hearing.ts";
import type { JournalEntry } from "./journal.ts";
import { forsake, lockServer, locksOf, pageLeft, reclaimLocks, unlockServer } from "./locks.ts";
import { surveySoon } from "./look-up.ts";
import { adopt, follow, restore, seekUnmet } from "./recovery.ts";
import { claimUnclaimed } from "./routing.ts";
import { choose } from "./scheduling.ts";
import { bindTo, clientIdAhead, declareServers, ownerAt, serverFor, serverSnapshot } from "./servers.ts";
import { silentPages } from "./silence.ts";
import type { ClaimPurpose, Coordinator, Port, Tab, Task } from "./state.ts";
import { newTask, submit } from "./submission.ts";
import { newTab } from "./tabs.ts";
import { forgetTask, isAdrift, isOver, snapshotOf, writeHeld, writeJournal } from "./task-lifecycle.ts";

/** More hosts than anybody has whose tasks are still to be told. */
const mostLosses = 64;

/** A page introduces itself: the tab it belongs to, its servers, and what it remembers of its tasks. */
export function helloSaid(c: Coordinator, key: PortKey, call: CallKey, hello: PortHello): void {
  c.calls.set(call, key);
  c.locks.startedAt ??= c.moment.now;
  const known = c.tabs.get(hello.tabId);
  if (known && (known.secret !== hello.tabSecret || (!hello.hasLock && hasLivePage(c, known)))) {
    answer(c, call, { ok: { refused: "tab-id-taken", epoch: c.epoch } satisfies Welcome });
    return;
  }
  // One page may have read the note before another one has added to it.
  const losses = new Set([...c.losses, ...(hello.losses?.split(" ") ?? [])]);
  c.losses = [...losses].slice(-mostLosses);
  const tab: Tab = known ?? newTab(hello.tabId, hello.tabSecret);
  c.tabs.set(tab.tabId, tab);
  declareServers(c, tab, hello.servers);
  tab.claiming += 1;
  c.arriving.set(key, { suspended: false });
  if (hello.isNew && !known) {
    tabClaimed(c, { for: "hello", port: key, call, hello }, []);
    return;
  }
  c.lastKey += 1;
  c.claims.set(c.lastKey, { for: "hello", port: key, call, hello });
  const { tabId, tabSecret } = hello;
  c.effects.push({ do: "claim-journal", claim: c.lastKey, tabId, tabSecret });
}

/** The journal has told what it knows of the tab: it is welcome. */
export function tabClaimed(
  c: Coordinator,
  { port: key, call, hello }: Extract<ClaimPurpose, { for: "hello" }>,
  entries: readonly JournalEntry[],
): void {
  const tab = c.tabs.get(hello.tabId);
  if (!tab) return;
  const page = c.arriving.get(key);
  const stillThere = c.arriving.delete(key);
  if (page) {
    tab.ports.add(key);
    c.ports.set(key, { ...newPort(c, key, hello), ...page });
  }
  tab.claiming -= 1;
  const known = new Map(hello.tasks.map((task) => [task.taskId, task]));
  for (const entry of entries) restore(c, tab, entry, known.get(entry.taskId));
  if (stillThere) for (const task of hello.tasks) adopt(c, tab, task);
  // What no claim has brought: the journal has lost it meanwhile.
  seekUnmet(c, tab);
  follow(c, tab);
  writeHeld(c, tab);
  if (!stillThere) {
    if (tab.ports.size > 0) return;
    // It was here a moment ago: what it wanted for its end counts from now.
    tabReturned(c, tab);
    tabLeft(c, tab);
    releaseServers(c, tab);
    return;
  }
  tabReturned(c, tab);
  if (hello.locks) reclaimLocks(c, tab, key, hello.locks);
  // Its former page may have had another account.
  releaseUnwanted(c);
  reachServers(c);
  // Everything until now is in the snapshot.
  c.ports.get(key)?.outbox.drain();
  answer(c, call, { ok: welcome(c, tab, key) });
}

/** A page that is awake and has not said goodbye. Without Web Locks this is all that tells a duplicate. */
const hasLivePage = (c: Coordinator, tab: Tab): boolean =>
  [...tab.ports].some((key) => c.ports.get(key)?.suspended === false);

const newPort = (
  c: Coordinator,
  key: PortKey,
  { tabId, windowId, previews, servers, pings, notes = true }: PortHello,
): Port => ({
  key,
  tabId,
  windowId,
  previews,
  notes,
  named: new Set(servers.map(({ id }) => id)),
  outbox: newOutbox(),
  flying: [],
  lastBatch: 0,
  lastMessage: 0,
  messageBytes: 0,
  gathering: false,
  suspended: false,
  silentRounds: pings && c.mode === "shared" ? 0 : Number.NEGATIVE_INFINITY,
});

function welcome(c: Coordinator, tab: Tab, port: PortKey): Welcome {
  return {
    protocol: protocolVersion,
    build: c.build,
    epoch: c.epoch,
    mode: c.mode,
    servers: [...tab.servers.values()].map((declared) => serverSnapshot(c, tab, declared)),
    tasks: tasksOf(c, tab).map(snapshotOf),
    locks: locksOf(c, port),
    ...(c.journalDegraded ? { journal: "memory" } : {}),
  };
}

export function tabCalled(c: Coordinator, key: PortKey, call: CallKey, request: TabRequest): void {
  c.calls.set(call, key);
  const port = c.ports.get(key);
  const tab = port && c.tabs.get(port.tabId);
  if (!port || !tab) {
    answer(c, call, { error: wireError("closed", "This session is closed.", {}) });
    return;
  }
  switch (request.method) {
    case "addServers":
      for (const server of declareServers(c, tab, request.servers)) connect(c, server);
      // One that another tab has connected already makes no news of its own.
      for (const declared of request.servers) {
        port.named.add(declared.id);
        deliver(c, port, { kind: "server", server: serverSnapshot(c, tab, declared) });
      }
      seekUnmet(c, tab);
      follow(c, tab);
      // For what waits, one of them may be open already.
      c.sendWaiting = true;
      answer(c, call, { ok: null });
      return;
    case "setAuth": {
      const before = c.servers.get(tab.servers.get(request.server.id)?.key ?? request.server.key);
      connect(c, authRenewed(c, tab, request.server));
      if (before) {
        forsake(c, tab, before.key);
        releaseIfUnwanted(c, before);
      }
      answer(c, call, { ok: request.account });
      return;
    }
    case "submit":
      submit(c, tab, call, request);
      return;
    case "register":
      register(c, tab, call, request.registration);
      return;
    case "clientId": {
      const declared = tab.servers.get(request.serverId);
      if (declared) answer(c, call, { ok: serverFor(c, declared).clientId });
      else if (request.serverId === "") answer(c, call, { ok: clientIdAhead(c) });
      else noServer(c, call, request.serverId);
      return;
    }
    case "cancel":
      withOwnTask(c, tab, call, request.taskId, (task) => cancelTask(c, task, call));
      return;
    case "dismiss":
      withOwnTask(c, tab, call, request.taskId, (task) => dismiss(c, task, call));
      return;
    case "upload":
      allowTransfer(c, tab, key, call, request.server);
      return;
    case "fetchFile":
    case "objectInfo":
      allowTransfer(c, tab, key, call, request.serverId);
      return;
    case "lockServer":
      lockServer(c, tab, key, call, request.lock);
      return;
    case "unlockServer":
      unlockServer(c, tab, request.lockId);
      answer(c, call, { ok: null });
      return;
    case "diagnostics":
      answer(c, call, { ok: diagnostics(c, port, tab) });
  }
}

/** A prompt that the app POSTed itself: live events where our client id was used, the ending in any case. */
function register(
  c: Coordinator,
  tab: Tab,
  call: CallKey,
  { taskId, serverId, promptId, label, cancelAfterMs }: Registration,
): void {
  const declared = tab.servers.get(serverId);
  if (!declared) {
    noServer(c, call, serverId);
    return;
  }
  const server = serverFor(c, declared);
  const owner = c.tasks.get(ownerAt(c, server.url, promptId) ?? taskId);
  if (owner) {
    // Another tab's prompt looks exactly like one that nobody has ever heard of.
    if (owner.tabId !== tab.tabId || owner.promptId !== promptId)
      answer(c, call, { error: wireError("not-found", `No prompt "${promptId}".`, { what: promptId }) });
    else {
      // Where only its page knew of it, nobody has said this yet.
      if (owner.cancelAfterMs === undefined && cancelAfterMs !== undefined) {
        owner.cancelAfterMs = cancelAfterMs;
        writeJournal(c, owner, { for: "progress", task: owner.id });
      }
      if (owner.registrations.length > 0) owner.registrations.push(call);
      else answer(c, call, { ok: snapshotOf(owner) });
    }
    return;
  }
  const task = newTask(c, tab, {
    id: taskId,
    promptId,
    label,
    candidates: [declared],
    registered: true,
    cancelAfterMs,
  });
  task.stage = { at: "queued" };
  bindTo(c, task, declared);
  connect(c, server);
  task.registrations.push(call);
  writeJournal(c, task, { for: "registration", task: task.id });
  claimUnclaimed(c, server, task);
  watchHearing(c, server);
  surveySoon(c, server, 0);
}

function withOwnTask(
  c: Coordinator,
  tab: Tab,
  call: CallKey,
  taskId: string,
  then: (task: Task) => void,
): void {
  const task = c.tasks.get(taskId);
  // Another tab's task and one that never was are the same to this tab.
  if (task?.tabId === tab.tabId) then(task);
  else
    answer(c, call, { error: wireError("not-found", `This tab has no task "${taskId}".`, { what: taskId }) });
}

/** A former host wakes up within minutes, if ever. */
const dismissedLimit = 1_000;

function dismiss(c: Coordinator, task: Task, call: CallKey): void {
  const adrift = task.record.items().some((event) => event.type === "warning" && isAdrift(event.code));
  if (!isOver(task) && !adrift) {
    const message = "The task has not ended: cancel it first.";
    answer(c, call, { error: wireError("invalid-option", message, { option: "task" }) });
    return;
  }
  const server = task.serverKey && c.servers.get(task.serverKey);
  forgetTask(c, task);
  c.dismissed.add(task.id);
  const [oldest] = c.dismissed;
  if (c.dismissed.size > dismissedLimit && oldest !== undefined) c.dismissed.delete(oldest);
  answer(c, call, { ok: null });
  if (server) releaseIfUnwanted(c, server);
}

function allowTransfer(c: Coordinator, tab: Tab, port: PortKey, call: CallKey, serverId?: string): void {
  const declared: DeclaredServer | undefined =
    serverId === undefined
      ? (choose(c, { tab, candidates: [...tab.servers.values()], ignoresDepth: true })?.server ??
        [...tab.servers.values()][0])
      : tab.servers.get(serverId);
  if (!declared) {
    noServer(c, call, serverId ?? "");
    return;
  }
  // From here the runtime answers: bytes do not pass through the core.
  c.calls.delete(call);
  c.effects.push({ do: "allow-transfer", call, port, server: declared.key, serverId: declared.id });
}

function noServer(c: Coordinator, call: CallKey, serverId: string): void {
  const message = `This session has no server "${serverId}".`;
  answer(c, call, { error: wireError("not-found", message, { what: serverId }) });
}

function diagnostics(c: Coordinator, port: Port, tab: Tab): HostDiagnostics {
  const own = tasksOf(c, tab);
  const settled = own.filter(isOver).length;
  return {
    mode: c.mode,
    epoch: c.epoch,
    build: c.build,
    protocol: `${protocolVersion.major}.${protocolVersion.minor}`,
    journal: c.journal,
    tabs: c.ports.size,
    servers: [...tab.servers.values()].map(({ id, url, key }) => {
      const server = c.servers.get(key);
      const at = server?.connection.at ?? "idle";
      return {
        id,
        url,
        connection: at,
        sockets: at === "open" || at === "connecting" ? 1 : 0,
        socketsOpened: server?.socketsOpened ?? 0,
        clientId: server?.clientId,
        version: server?.version,
      };
    }),
    outbox: { waiting: port.outbox.size, unacknowledged: port.flying.length },
    tasks: { open: own.length - settled, settled },
    placements: own.flatMap(({ id, serverId, chosen }) =>
      serverId !== undefined && chosen !== undefined ? [{ taskId: id, serverId, why: chosen }] : [],
    ),
    twins: { ...c.twins },
  };
}

/** They may be there all the same, as frozen pages are: nothing that they wanted for their end begins to count. */
export function dropSilent(c: Coordinator): void {
  for (const { key } of silentPages(c)) {
    c.effects.push({ do: "drop-port", port: key });
    tabGone(c, key, true);
  }
}

/** The page is gone. Its tab may come back: the tasks stay, and so does who they belong to. */
export function tabGone(c: Coordinator, key: PortKey, isGuess = false): void {
  if (c.arriving.delete(key)) {
    forgetCalls(c, key);
    return;
  }
  const port = c.ports.get(key);
  if (!port) return;
  c.ports.delete(key);
  c.touchedPorts.delete(port);
  pageLeft(c, key);
  const tab = c.tabs.get(port.tabId);
  tab?.ports.delete(key);
  forgetCalls(c, key);
  if (tab && tab.ports.size === 0) {
    if (tasksOf(c, tab).length === 0 && tab.claiming === 0) c.tabs.delete(tab.tabId);
    else if (!isGuess) tabLeft(c, tab);
  }
  if (tab) releaseServers(c, tab);
}

function releaseServers(c: Coordinator, tab: Tab): void {
  for (const { key } of tab.servers.values()) {
    const server = c.servers.get(key);
    if (server) releaseIfUnwanted(c, server);
  }
}

function forgetCalls(c: Coordinator, key: PortKey): void {
  for (const [call, caller] of c.calls)
    if (caller === key) answer(c, call, { error: wireError("closed", "The page is gone.", {}) });
}
