import { wireError } from "../protocol/errors.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import { isSettled, type TaskStatus } from "../protocol/tasks.ts";
import { pursueCancel } from "./cancel.ts";
import type { DeclaredServer } from "./facts.ts";
import type { JournalEntry } from "./journal.ts";
import { surveySoon } from "./look-up.ts";
import { bindTo, serverFor } from "./servers.ts";
import type { Coordinator, Tab, Task } from "./state.ts";
import { newTask, sendOrWait, unsure } from "./submission.ts";
import { emit, settle, writeJournal } from "./task-lifecycle.ts";

/** Room for events that the former host has told and not journalled: numbers never go back. */
const seqGap = 1_000;

/** Takes up what the journal has of a tab's tasks. The host that wrote it is dead, or has lost them. */
export function restore(c: Coordinator, tab: Tab, entry: JournalEntry, known?: KnownTask): void {
  const mine = c.tasks.get(entry.taskId);
  if (mine) {
    // Claimed again by the host that has it: only the number has changed.
    if (mine.tabId === tab.tabId) mine.generation = entry.generation;
    return;
  }
  const task = newTask(c, tab, {
    id: entry.taskId,
    promptId: entry.promptId,
    label: entry.label,
    candidates: candidatesOf(tab, entry),
    registered: entry.registered,
    cancelAfterMs: entry.cancelAfterMs,
    createdAt: entry.createdAt,
    generation: entry.generation,
    journalled: true,
  });
  task.accepted = entry.accepted;
  task.posts = entry.posts;
  task.clientId = entry.clientId;
  task.workflow = entry.workflow;
  task.seq = entry.seq;
  for (const event of entry.events) task.record.put(event);
  if (entry.settledAt !== undefined) {
    task.stage = { at: "settled", status: statusFrom(entry), atWall: entry.settledAt };
    bindSettled(c, task, entry);
    return;
  }
  task.seq = Math.max(entry.seq, known?.lastSeq ?? 0) + seqGap;
  if (entry.submission)
    task.submission = { taskId: entry.taskId, promptId: entry.promptId, ...entry.submission };
  if (entry.cancelWanted) task.cancel = { calls: [], request: undefined, confirmed: false, hopeless: false };
  takeUp(c, tab, task, entry);
}

/** Goes on where the former host stopped. */
function takeUp(c: Coordinator, tab: Tab, task: Task, entry: JournalEntry): void {
  const declared = entry.serverKey === undefined ? undefined : serverFrom(tab, entry);
  if (declared && (entry.accepted || entry.registered || entry.posts > 0)) {
    bindTo(c, task, declared);
    task.unheard = true;
    if (entry.accepted || entry.registered) {
      task.stage = { at: "queued" };
      task.suspicion = "socket-broke";
      emit(c, task, { type: "gap", reason: "reconnecting" });
      pursueCancel(c, task);
      surveySoon(c, serverFor(c, declared), 0);
    } else unsure(c, task, "its host died");
  } else if (task.cancel) settle(c, task, { type: "cancelled", by: "owner" });
  else if (entry.submission?.hadCredentials || task.workflow === undefined)
    settle(c, task, cannotSend(entry));
  else sendOrWait(c, task);
}

const cannotSend = (entry: JournalEntry) => ({
  type: "failed" as const,
  error: entry.submission?.hadCredentials
    ? wireError(
        "unauthorized",
        "It was sent with credentials, which died with its host: submit it again.",
        {},
      )
    : wireError("host-lost", "Its workflow died with its host: submit it again.", {}),
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

function candidatesOf(tab: Tab, { submission, serverKey }: JournalEntry): DeclaredServer[] {
  const all = [...tab.servers.values()];
  const wanted = submission?.server;
  if (wanted !== undefined) return all.filter(({ id }) => id === wanted);
  return serverKey === undefined || submission ? all : all.filter(({ key }) => key === serverKey);
}

/** The tab's own name for it; a server that the tab does not name any more is still asked. */
function serverFrom(tab: Tab, { serverKey, serverId }: JournalEntry): DeclaredServer {
  const own = [...tab.servers.values()].find(({ key }) => key === serverKey);
  if (own) return own;
  const key = serverKey as DeclaredServer["key"];
  const url = key.split(" ")[0] as string;
  return { id: serverId ?? url, key, url, weight: 1, broadcastTypes: [] };
}

/**
 * A task that the tab remembers and no journal does. The server's queue and history know how it stands;
 * the POST is never repeated, for nobody knows whether it went out.
 */
export function adopt(c: Coordinator, tab: Tab, known: KnownTask): void {
  if (known.settled || known.promptId === undefined || c.tasks.has(known.taskId)) return;
  const { promptId, serverId } = known;
  const candidates = [...tab.servers.values()].filter(({ id }) => serverId === undefined || id === serverId);
  const first = candidates[0];
  if (!first || candidates.some(({ key }) => c.servers.get(key)?.routes.has(promptId))) return;
  const task = newTask(c, tab, { id: known.taskId, promptId, label: known.label, candidates, adopted: true });
  task.seq = known.lastSeq + seqGap;
  task.stage = { at: "queued" };
  task.suspicion = "socket-broke";
  bindTo(c, task, first);
  writeJournal(c, task, { for: "progress", task: task.id });
  surveySoon(c, serverFor(c, first), 0);
}
