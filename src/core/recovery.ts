import { wireError } from "../protocol/errors.ts";
import { isEnding } from "../protocol/mailbox.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import { defaultDepth } from "../protocol/session-api.ts";
import { isSettled, type TaskStatus } from "../protocol/tasks.ts";
import { answerInTime, newCancel, pursueCancel } from "./cancel.ts";
import { reachServers, releaseIfUnwanted } from "./connection.ts";
import { answer } from "./delivery.ts";
import type { DeclaredServer } from "./facts.ts";
import type { JournalEntry } from "./journal.ts";
import { surveySoon } from "./look-up.ts";
import { claimUnclaimed } from "./routing.ts";
import { bindTo, isSought, ownerAt, serverFor, serverOf } from "./servers.ts";
import type { Coordinator, Ending, Tab, Task, WritePurpose } from "./state.ts";
import { candidatesFor, isOld, leaveServer, newTask, quarantineMs, unsure, wait } from "./submission.ts";
import {
  emit,
  forgetTask,
  handOver,
  isOver,
  markAccepted,
  settle,
  snapshotOf,
  writeHeld,
  writeJournal,
  writeNow,
} from "./task-lifecycle.ts";

/** Room for events that the former host has told and not journalled: numbers never go back. */
const seqGap = 1_000;

/** Takes up what the journal has of a tab's tasks. The host that wrote it is dead, or has lost them. */
export function restore(c: Coordinator, tab: Tab, entry: JournalEntry, known?: KnownTask): void {
  const mine = c.tasks.get(entry.taskId);
  if (mine && mine.tabId !== tab.tabId) return;
  if (known?.dismissed || c.dismissed.has(entry.taskId)) {
    if (mine) forgetTask(c, mine);
    else c.effects.push({ do: "erase-journal", taskIds: [entry.taskId] });
    return;
  }
  if (mine) {
    claimBack(c, tab, mine, entry, known);
    return;
  }
  const { url } = serverFrom(tab, { serverKey: entry.serverKey ?? "", serverId: entry.serverId });
  const other = c.tasks.get(ownerAt(c, url, entry.promptId) ?? "");
  // Another tab has registered it while its owner was away.
  if (other?.registered && other.tabId !== tab.tabId) {
    const message = `No prompt "${entry.promptId}".`;
    settle(c, other, { type: "failed", error: wireError("not-found", message, { what: entry.promptId }) });
    other.outputs.clear();
  }
  const task = newTask(c, tab, {
    id: entry.taskId,
    // Below 0.3.45 it is the server's own, which the tab may have heard before the journal.
    promptId: (known?.serverId !== undefined && known.promptId) || entry.promptId,
    label: entry.label,
    candidates: candidatesOf(tab, entry),
    registered: entry.registered,
    adopted: entry.adopted,
    cancelAfterMs: entry.cancelAfterMs,
    createdAt: entry.createdAt,
    generation: entry.generation,
    journalled: true,
    lastLoss: entry.lastLoss,
  });
  task.accepted = entry.accepted;
  // Whoever returns takes it back from the journal, too: else the next look for overdue ones cancels it.
  task.cancelAt = entry.settledAt === undefined ? entry.cancelAt : undefined;
  task.posts = entry.posts;
  task.clientId = entry.clientId;
  takeWorkflow(task, entry);
  task.seq = entry.seq;
  task.adrift = entry.events.some(saysAdrift);
  for (const event of entry.events) task.record.put(event);
  countOn(task, known);
  if (entry.settledAt !== undefined) {
    task.stage = { at: "settled", status: statusFrom(entry), atWall: entry.settledAt };
    bindSettled(c, task, entry);
    return;
  }
  task.seq = Math.max(task.seq, entry.seq + seqGap, (known?.lastSeq ?? 0) + seqGap);
  if (entry.cancelWanted) task.cancel = newCancel("journalled");
  const wasSent = wasPerhapsSent(c, entry, known);
  if (wasSent && isNamed(task, entry, known)) {
    seek(c, task, known);
    // That it has ended, only its page says: the next host is not to send it either.
    if (known?.settled) writeJournal(c, task, { for: "progress", task: task.id });
  } else {
    takeUp(c, tab, task, entry, known);
    task.unmet ||= wasSent && task.stage.at === "waiting";
  }
}

/** What the journal says of its way is old: its last host could not write any more, or has told the tab more. */
const wasPerhapsSent = (c: Coordinator, entry: JournalEntry, known: KnownTask | undefined): boolean =>
  !entry.accepted && !entry.registered && (known?.serverId !== undefined || isOld(c, entry));

/** Whether its tab names a server to look at, the one that took it, if anybody knows where that is. */
const isNamed = ({ candidates }: Task, { serverKey }: JournalEntry, known: KnownTask | undefined): boolean =>
  candidates.length > 0 &&
  (serverKey === undefined ||
    known?.serverId === undefined ||
    candidates.some(({ id }) => id === known.serverId));

/** What would be sent again. */
function takeWorkflow(task: Task, { taskId, promptId, submission, workflow }: JournalEntry): void {
  if (submission) task.submission ??= { taskId, promptId, ...submission };
  // Without its credentials it would be another one.
  if (!submission?.hadCredentials) task.workflow ??= workflow;
}

/** Mostly only the number has changed; but other hosts may have had it meanwhile, and its page may have heard them. */
function claimBack(
  c: Coordinator,
  tab: Tab,
  mine: Task,
  entry: JournalEntry,
  known: KnownTask | undefined,
): void {
  const claims = entry.generation - mine.generation;
  mine.generation = entry.generation;
  if (mine.stage.at === "waiting") {
    // Without its workflow it waits for nothing but its server's name.
    const wasSent =
      mine.workflow === undefined || ((claims > 1 || mine.unmet) && wasPerhapsSent(c, entry, known));
    mine.candidates = candidatesOf(tab, entry);
    if (wasSent) seek(c, mine, known);
    else {
      mine.unmet = false;
      wait(c, mine);
    }
  }
  if (claims > 1) mine.seq = Math.max(mine.seq, entry.seq) + claims * seqGap;
  countOn(mine, known);
  // The owner may have said it there.
  if (entry.cancelWanted) mine.cancel ??= newCancel("journalled");
  // The first ending that was written is the one.
  const ending = entry.events.findLast(isEnding) as Ending | undefined;
  if (ending && mine.stage.at === "settling") mine.stage = { ...mine.stage, ending };
  else if (ending) settle(c, mine, ending);
  else if (entry.cancelWanted && mine.stage.at === "settling" && isAway(mine.stage.ending))
    mine.stage = { ...mine.stage, ending: { type: "cancelled", by: "owner" } };
  else pursueCancel(c, mine);
  if (claims > 1) mayHaveBeenSent(c, tab, mine, entry);
}

/** What its owner has cancelled elsewhere looks so from here. */
const isAway = ({ type }: Ending): boolean => type === "cancelled" || type === "lost";

/** The page may have heard more from hosts that have journalled nothing of it, and would take all news for old. */
function countOn(task: Task, known: KnownTask | undefined): void {
  if (!known || known.settled || known.lastSeq < task.seq) return;
  task.seq = known.lastSeq + seqGap;
  // What it may not have heard, and is not told again.
  for (const event of task.record.items()) {
    if (!isEnding(event) && !saysAdrift(event)) continue;
    task.record.drop((one) => one === event);
    task.seq += 1;
    task.record.put({ ...event, seq: task.seq });
  }
}

const saysAdrift = (event: JournalEntry["events"][number]): boolean =>
  event.type === "warning" && event.code === "not-one-server";

/** Goes on where the former host stopped. */
function takeUp(
  c: Coordinator,
  tab: Tab,
  task: Task,
  entry: JournalEntry,
  known: KnownTask | undefined,
): void {
  const isUnsent = entry.adopted && !entry.accepted && entry.posts === 0;
  const declared = entry.serverKey === undefined || isUnsent ? undefined : serverFrom(tab, entry);
  if (declared && (entry.accepted || entry.registered || entry.posts > 0)) {
    bindTo(c, task, declared);
    task.unheard = true;
    if (entry.accepted || entry.registered) {
      task.stage = { at: "queued" };
      // Under another account this may be another server, which says nothing about the task.
      if (declared.key === entry.serverKey) task.suspicion = "socket-broke";
      emit(c, task, { type: "gap", reason: "reconnecting" });
      pursueCancel(c, task);
      surveySoon(c, serverFor(c, declared), 0);
    } else unsure(c, task, "its host died");
    // Under the former host's client id its run is heard here, perhaps since before its tab came.
    claimUnclaimed(c, serverFor(c, declared), task);
  } else if ((entry.adopted || entry.registered) && entry.workflow === undefined) {
    // One that was looked for nowhere has kept the name of the server that nobody had named.
    const serverId = known?.serverId ?? (entry.serverKey === undefined ? entry.serverId : undefined);
    if (serverId !== undefined) task.candidates = task.candidates.filter(({ id }) => id === serverId);
    lookAround(c, task);
    if (task.unmet) task.serverId = serverId;
  } else if (task.cancel) settle(c, task, { type: "cancelled", by: "owner" });
  else if (entry.submission?.hadCredentials || task.workflow === undefined)
    settle(c, task, cannotSend(entry));
  else wait(c, task);
}

const cannotSend = (entry: JournalEntry): Ending =>
  entry.submission?.hadCredentials
    ? failed("unauthorized", "It was sent with credentials, which died with its host: submit it again.")
    : failed("host-lost", "Its workflow died with its host: submit it again.");

const failed = (code: "unauthorized" | "host-lost", message: string): Ending => ({
  type: "failed",
  error: wireError(code, message, {}),
});

function statusFrom({
  events,
}: JournalEntry): Extract<TaskStatus, "succeeded" | "failed" | "cancelled" | "lost"> {
  const ending = events.findLast(({ type }) => isSettled(type as TaskStatus));
  return (ending?.type ?? "lost") as ReturnType<typeof statusFrom>;
}

/** Late frames and second runs of an ended prompt are still its own, where its server is known here. */
function bindSettled(c: Coordinator, task: Task, entry: JournalEntry): void {
  task.serverId = entry.serverId;
  const key = entry.serverKey as Task["serverKey"];
  const server = key && c.servers.get(key);
  if (!server || server.routes.has(task.promptId)) return;
  task.serverKey = key;
  server.routes.set(task.promptId, task.id);
}

function candidatesOf(
  tab: Tab,
  { submission, serverKey, adopted, accepted }: JournalEntry,
): DeclaredServer[] {
  const all = [...tab.servers.values()];
  const wanted = submission?.server;
  if (wanted !== undefined) return all.filter(({ id }) => id === wanted);
  return serverKey === undefined || submission || (adopted && !accepted)
    ? all
    : all.filter(({ key }) => key === serverKey);
}

/** The tab's own name for it; a server that the tab does not name any more is still asked. */
function serverFrom(
  tab: Tab,
  { serverKey, serverId }: Pick<JournalEntry, "serverKey" | "serverId">,
): DeclaredServer {
  const servers = [...tab.servers.values()];
  const key = serverKey as DeclaredServer["key"];
  const [url, account = ""] = key.split(" ") as [string, string?];
  // A token without an account's name: the tab has another one by now, and calls the server the same.
  const own =
    servers.find((server) => server.key === key) ??
    servers.find((one) => account.startsWith("#") && one.id === serverId && one.key.startsWith(`${url} #`));
  if (own) return own;
  return { id: serverId ?? url, key, url, weight: 1, depth: defaultDepth, broadcastTypes: [] };
}

/**
 * A task that the tab remembers and no journal does. The server's queue and history know how it stands;
 * the POST is never repeated, for nobody knows whether it went out.
 */
export function adopt(c: Coordinator, tab: Tab, known: KnownTask): void {
  if (known.settled || known.promptId === undefined) return;
  const mine = c.tasks.get(known.taskId);
  // Where the journal was wiped, nothing else says what the page has heard elsewhere.
  if (mine?.tabId === tab.tabId) countOn(mine, known);
  if (mine || c.dismissed.has(known.taskId)) return;
  const { promptId } = known;
  const candidates = candidatesFor(tab, {});
  if (candidates.some(({ url }) => ownerAt(c, url, promptId) !== undefined)) return;
  const task = newTask(c, tab, {
    id: known.taskId,
    promptId,
    label: known.label,
    candidates,
    registered: known.registered === true,
    lastLoss: known.lastLoss,
    // A former host that wakes up and takes it for new has the first number.
    generation: 2,
  });
  task.seq = known.lastSeq + seqGap;
  seek(c, task, known);
  tab.claiming += 1;
  writeNow(c, task, { for: "adoption", task: task.id, tabId: tab.tabId });
}

/** Only the tab knows of it, or of its POST. */
function seek(c: Coordinator, task: Task, known: KnownTask | undefined): void {
  // One that its tab has not named yet is remembered until it does.
  const serverId = known?.serverId ?? (task.unmet ? task.serverId : undefined);
  task.adopted = !task.registered;
  task.quarantineUntil = c.moment.now + quarantineMs;
  // Under which client id it went out is known for one server only.
  task.clientId = undefined;
  if (known?.settled) task.workflow = undefined;
  const its = task.candidates.filter(({ id }) => id === serverId);
  if (serverId !== undefined) task.candidates = its;
  lookAround(c, task);
  if (task.unmet) task.serverId = serverId;
  // A server is remembered only with its word that it took the prompt, or with its app's.
  if (its.length > 0 && task.adopted) markAccepted(c, task);
  pursueCancel(c, task);
}

/** Its tab has named more servers: what was to be looked for, and nobody knew where, is looked for there. */
export function seekUnmet(c: Coordinator, tab: Tab): void {
  for (const task of c.tasks.values()) {
    if (!task.unmet || task.tabId !== tab.tabId || task.stage.at !== "waiting") continue;
    task.candidates = candidatesFor(tab, task.submission ?? {});
    if (task.candidates.length > 0) seek(c, task, undefined);
  }
}

/** The tab has another token by now for a server where it was taken up before its page had said so. */
export function follow(c: Coordinator, tab: Tab): void {
  for (const task of c.tasks.values()) {
    const before = serverOf(c, task);
    if (!before || task.tabId !== tab.tabId || !task.unheard || isOver(task)) continue;
    const declared = serverFrom(tab, task);
    if (declared.key === before.key) continue;
    leaveServer(c, task);
    task.misses = 0;
    task.suspicion = undefined;
    bindTo(c, task, declared);
    surveySoon(c, serverFor(c, declared), 0);
    releaseIfUnwanted(c, before);
  }
}

/** It may be at any of these servers, or nowhere. */
function lookAround(c: Coordinator, task: Task, inMs = 0): void {
  const [first] = task.candidates;
  task.unmet = !first;
  if (!first) {
    leaveServer(c, task);
    task.stage = { at: "waiting" };
    return;
  }
  task.stage = { at: "queued" };
  task.suspicion = "socket-broke";
  task.roundAt = c.moment.now;
  lookAt(c, task, first, inMs);
}

function lookAt(c: Coordinator, task: Task, declared: DeclaredServer, inMs: number): void {
  leaveServer(c, task);
  task.misses = 0;
  bindTo(c, task, declared);
  surveySoon(c, serverFor(c, declared), inMs);
}

/**
 * This server does not know it: its servers are asked in turn, and all of them once more when no POST of the
 * former host can be on its way any longer.
 */
export function adoptElsewhere(c: Coordinator, task: Task, inMs = 0): void {
  const { candidates } = task;
  // A tab may name one server twice.
  const keys: Task["serverKey"][] = [...new Set(candidates.map(({ key }) => key))];
  const following = keys[keys.indexOf(task.serverKey) + 1];
  const next = candidates.find(({ key }) => key === following);
  if (next) lookAt(c, task, next, inMs);
  else if (task.roundAt < task.quarantineUntil) lookAround(c, task, inMs);
  else if (task.cancel) settle(c, task, { type: "cancelled", by: "owner" });
  else if (task.workflow === undefined || task.posts > 1)
    settle(c, task, failed("host-lost", "Its host died, and no server has it: submit it again."));
  else {
    leaveServer(c, task);
    task.suspicion = undefined;
    task.lastLoss = c.losses.at(-1);
    wait(c, task);
  }
}

/** Where its server does not say, others that can be reached are asked meanwhile; this round decides nothing. */
export function askOthers(c: Coordinator, task: Task, inMs: number): void {
  const isThere = ({ key }: DeclaredServer): boolean =>
    key !== task.serverKey && c.servers.get(key)?.connection.at === "open";
  if (!isSought(task) || !task.candidates.some(isThere)) return;
  task.quarantineUntil = Math.max(task.quarantineUntil, c.moment.now + 1);
  adoptElsewhere(c, task, inMs);
}

/**
 * The journal has refused a write: a later claim has the task. Where its page is here, that claim came from a
 * host which the page has left, and which woke up once more; so it is claimed back, and the write repeated.
 */
export function superseded(
  c: Coordinator,
  task: Task,
  { generation, ...purpose }: WritePurpose & { readonly generation: number },
): void {
  const tab = c.tabs.get(task.tabId);
  const again = purpose.for === "adoption" ? { for: "progress" as const, task: task.id } : purpose;
  // Our own claim came between: the write only carries the old number.
  if (generation < task.generation) writeJournal(c, task, again);
  else if (!tab || (tab.ports.size === 0 && tab.claiming === 0)) {
    const server = serverOf(c, task);
    handOver(c, task);
    if (server) releaseIfUnwanted(c, server);
  } else {
    const { tabId, secret: tabSecret } = tab;
    tab.claiming += 1;
    tab.heldWrites.push(again);
    c.lastKey += 1;
    c.claims.set(c.lastKey, { for: "again", tabId });
    c.effects.push({ do: "claim-journal", claim: c.lastKey, tabId, tabSecret });
  }
}

export function claimedAgain(c: Coordinator, tabId: string, entries: readonly JournalEntry[]): void {
  const tab = c.tabs.get(tabId);
  if (!tab) return;
  tab.claiming -= 1;
  const there = new Set(entries.map(({ taskId }) => taskId));
  for (const { task: taskId } of tab.heldWrites) {
    const task = c.tasks.get(taskId);
    if (task && !there.has(taskId)) task.journalled = false;
  }
  for (const entry of entries) {
    const task = c.tasks.get(entry.taskId);
    restore(c, tab, entry);
    if (task) mayHaveBeenSent(c, tab, task, entry);
  }
  writeHeld(c, tab);
  // The other host may have taken a task to a server that nobody names here.
  reachServers(c);
}

/** How often it went out from here: one that is only aimed at a server has not. */
const postsOf = ({ stage: { at }, posts, serverKey }: Task): number =>
  at === "committing" || (at === "journalling" && serverKey !== undefined) ? posts - 1 : posts;

/** Where the other host has sent it, or was about to, it is looked for, like after any POST without an answer. */
function mayHaveBeenSent(c: Coordinator, tab: Tab, task: Task, entry: JournalEntry): void {
  if (entry.posts <= postsOf(task)) return;
  const { at } = task.stage;
  // An ending that nobody has written yet was decided without this POST.
  const isHere = ["journalling", "waiting", "committing", "unsure", "settling"].includes(at);
  if ((!isHere && !isSought(task)) || task.accepted || entry.settledAt !== undefined) return;
  if (entry.serverKey === undefined) return;
  if (task.stage.at === "journalling")
    for (const call of task.stage.calls) answer(c, call, { ok: snapshotOf(task) });
  takeWorkflow(task, entry);
  leaveServer(c, task);
  // Below 0.3.45 it is the server's own.
  task.promptId = entry.promptId;
  task.posts = entry.posts;
  task.clientId = entry.clientId;
  bindTo(c, task, serverFrom(tab, entry));
  unsure(c, task, "by another host");
  // With the ending that it would have had here the deadline was gone.
  if (task.cancel?.calls.length) answerInTime(c, task);
}
