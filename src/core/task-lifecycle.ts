import { httpAddress } from "../comfy/addresses.ts";
import { outputFiles, viewPath } from "../comfy/files.ts";
import type { JsonObject, NodeFailure } from "../comfy/messages.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import { BoundedMailbox, isRetained, type Mailbox, taskEventKey } from "../protocol/mailbox.ts";
import {
  isSettled,
  type OutputFile,
  type PortTaskEvent,
  type TaskResult,
  type TaskSnapshot,
  type TaskStatus,
  type WarningCode,
} from "../protocol/tasks.ts";
import { answer, deliver } from "./delivery.ts";
import type { JournalEntry, JournalledSubmission } from "./journal.ts";
import type { Coordinator, Ending, Server, Tab, Task, WritePurpose } from "./state.ts";
import { clearTimer } from "./timers.ts";

/** Live outputs of one task beyond this are not passed on; the result is read from the history. */
const outputLimitBytes = 1024 * 1024;
const warningLimit = 100;
/** Progress and text of so many nodes are kept for readers who come late. */
const passingLimit = 256;
/** How long a settled task is kept for its owner. */
export const settledForMs = 24 * 60 * 60_000;
/** Settled tasks that are kept for their owner, and in all. The oldest go first. */
export const settledLimit = { perTab: 1000, inAll: 5000 } as const;

type Body<E> = E extends unknown ? Omit<E, "seq" | "taskId" | "at"> : never;
export type TaskEventBody = Body<PortTaskEvent>;

export const newRecord = (): Mailbox<PortTaskEvent> =>
  new BoundedMailbox<PortTaskEvent>(taskEventKey, (event) =>
    isRetained(event) ? undefined : { kind: "passing", limit: passingLimit },
  );

/** Numbers an event, keeps it for readers who come late, and sends it to the owner's pages. */
export function emit(c: Coordinator, task: Task, body: TaskEventBody): void {
  task.seq += 1;
  const event = { ...body, seq: task.seq, taskId: task.id, at: c.moment.wall } as PortTaskEvent;
  if (event.type !== "preview") task.record.put(event);
  const tab = c.tabs.get(task.tabId);
  if (!tab) return;
  // The newest page first: without Web Locks, one before it that has crashed is not known to have.
  for (const key of [...tab.ports].reverse()) {
    const port = c.ports.get(key);
    if (!port) continue;
    if (event.type !== "preview") deliver(c, port, { kind: "task", event });
    else if (!port.suspended && port.previews === "newest") {
      // Its bytes are transferred, so one page gets them: a tab has only one that is awake.
      deliver(c, port, { kind: "task", event });
      return;
    }
  }
}

export function warn(
  c: Coordinator,
  task: Task,
  code: WarningCode,
  message: string,
  more: { nodeId?: string; details?: unknown } = {},
): void {
  if (task.warnings >= warningLimit && !isAdrift(code)) return;
  task.warnings += 1;
  emit(c, task, { type: "warning", code, message, ...more });
}

/** Under these the owner may dismiss what has not ended. */
export const isAdrift = (code: WarningCode): boolean => code === "stalled" || code === "not-one-server";

export const warnOfMemory = (c: Coordinator, task: Task): void =>
  warn(
    c,
    task,
    "journal-in-memory",
    "The journal is in memory: the task would not survive the end of its host.",
  );

export function statusOf({ stage, adopted, accepted }: Task): TaskStatus {
  switch (stage.at) {
    case "journalling":
    case "waiting":
    case "committing":
    case "posting":
    case "unsure":
      return "submitting";
    case "queued":
      // Nobody knows whether a server has it.
      return adopted && !accepted ? "submitting" : "queued";
    case "running":
      return stage.at;
    case "settling":
      return stage.was;
    case "settled":
      return stage.status;
  }
}

/** Whether nothing can happen to it any more. */
export const isOver = ({ stage }: Task): boolean => stage.at === "settling" || stage.at === "settled";

/** The server cannot be expected to know it yet. */
export const isOnItsWay = ({ stage }: Task): boolean =>
  stage.at === "journalling" || stage.at === "committing" || stage.at === "posting";

export function snapshotOf(task: Task): TaskSnapshot {
  return {
    taskId: task.id,
    label: task.label,
    promptId: task.accepted ? task.promptId : undefined,
    serverId: task.accepted ? task.serverId : undefined,
    status: statusOf(task),
    seq: task.seq,
    createdAt: task.createdAt,
    events: task.record.items(),
  };
}

/** The server has it: by its answer, by a frame, or by a look-up, whichever comes first. */
export function markAccepted(c: Coordinator, task: Task): void {
  if (task.accepted || isOver(task)) return;
  task.accepted = true;
  // What did not find it before the POST that was taken says nothing of this one.
  task.misses = 0;
  task.workflow = undefined;
  if (task.stage.at !== "running") task.stage = { at: "queued" };
  task.lastNewsAt = c.moment.now;
  emit(c, task, { type: "accepted", serverId: task.serverId ?? "", promptId: task.promptId });
  writeJournal(c, task, { for: "progress", task: task.id });
}

export function markStarted(c: Coordinator, task: Task): void {
  markAccepted(c, task);
  if (isOver(task) || task.stage.at === "running") return;
  task.stage = { at: "running" };
  task.position = undefined;
  emit(c, task, { type: "started" });
}

export function markQueued(c: Coordinator, task: Task, position: number): void {
  if (task.stage.at !== "queued" || task.position === position) return;
  task.position = position;
  emit(c, task, { type: "queued", position });
}

/** @param bytes size of the message it came in */
export function addOutput(
  c: Coordinator,
  server: Server,
  task: Task,
  nodeId: string,
  output: JsonObject | null,
  bytes: number,
): void {
  if (output === null) {
    task.outputsIncomplete = true;
    return;
  }
  task.outputBytes += bytes;
  if (task.outputBytes > outputLimitBytes) {
    task.outputsIncomplete = true;
    warn(
      c,
      task,
      "outputs-dropped",
      "The outputs are larger than 1 MiB; the rest is in the result, when the task has ended.",
    );
    return;
  }
  task.outputs.set(nodeId, output);
  emit(c, task, { type: "output", nodeId, output, files: filesOf(server, task, nodeId, output) });
}

function filesOf(server: Server, task: Task, nodeId: string, output: unknown): OutputFile[] {
  return outputFiles(nodeId, output).map((file) => ({
    ...file,
    serverId: task.serverId ?? "",
    url: httpAddress(server.url, viewPath(file)),
  }));
}

export function resultFrom(
  server: Server,
  task: Task,
  outputs: Iterable<readonly [string, unknown]>,
): TaskResult {
  const list = [...outputs];
  return {
    taskId: task.id,
    promptId: task.promptId,
    serverId: task.serverId ?? "",
    outputs: Object.fromEntries(list),
    files: list.flatMap(([nodeId, output]) => filesOf(server, task, nodeId, output)),
  };
}

export function nodeFailed(failure: NodeFailure): WireError {
  const { nodeId, nodeType, exceptionType, exceptionMessage, traceback, executed } = failure;
  return wireError(
    "node-failed",
    `Node ${nodeId} (${nodeType}) failed: ${exceptionMessage.trim() || exceptionType}`,
    { nodeId, nodeType, exceptionType, exceptionMessage, traceback, executed },
  );
}

/** Decides the ending. The first one wins; it is told as soon as the journal has it. */
export function settle(c: Coordinator, task: Task, ending: Ending): void {
  if (isOver(task)) return;
  task.stage = { at: "settling", ending, was: statusOf(task) };
  task.workflow = undefined;
  freePlace(c, task);
  clearTaskTimers(c, task);
  writeJournal(c, task, { for: "ending", task: task.id });
}

/** Somebody who waits may have it. */
export function freePlace(c: Coordinator, task: Task): void {
  if (task.serverKey && c.servers.get(task.serverKey)?.open.delete(task.id)) c.sendWaiting = true;
}

/** The journal has the ending (or has said that it cannot take it): now it is told. */
export function tellEnding(c: Coordinator, task: Task): void {
  if (task.stage.at !== "settling") return;
  const { ending } = task.stage;
  task.record.drop((event) => !isRetained(event));
  emit(c, task, ending);
  task.stage = { at: "settled", status: ending.type, atWall: c.moment.wall };
  task.nodeProgress.clear();
  task.outputs.clear();
  const own = ending.type === "cancelled" && ending.by === "owner";
  for (const call of task.cancel?.calls.splice(0) ?? []) answer(c, call, { ok: own });
  forgetOldest(c, task.tabId);
}

export function forgetTask(c: Coordinator, task: Task): void {
  for (const call of task.registrations.splice(0)) answer(c, call, { ok: snapshotOf(task) });
  for (const call of task.cancel?.calls.splice(0) ?? []) answer(c, call, { ok: false });
  leave(c, task);
  c.effects.push({ do: "erase-journal", taskIds: [task.id] });
}

function clearTaskTimers(c: Coordinator, task: Task): void {
  for (const name of ["cancel-again", "cancel-deadline", "abandoned"]) clearTimer(c, `${name} ${task.id}`);
}

function forgetOldest(c: Coordinator, tabId: string): void {
  const settled = [...c.tasks.values()].filter((task) => task.stage.at === "settled");
  const own = settled.filter((task) => task.tabId === tabId);
  for (const task of own.slice(0, Math.max(0, own.length - settledLimit.perTab))) forgetTask(c, task);
  for (const task of settled.slice(0, Math.max(0, settled.length - settledLimit.inAll)))
    if (c.tasks.has(task.id)) forgetTask(c, task);
}

/** Another host has the task: here it is over without an ending, for its tab is told there. */
export function handOver(c: Coordinator, task: Task): void {
  const gone = wireError("host-lost", "Another host has this task now.", { epoch: c.epoch });
  if (task.stage.at === "journalling") for (const call of task.stage.calls) answer(c, call, { error: gone });
  for (const call of [...task.registrations.splice(0), ...(task.cancel?.calls.splice(0) ?? [])])
    answer(c, call, { error: gone });
  leave(c, task);
}

function leave(c: Coordinator, task: Task): void {
  const server = task.serverKey && c.servers.get(task.serverKey);
  // Where it was another tab's all the time, that has the route.
  if (server?.routes.get(task.promptId) === task.id) server.routes.delete(task.promptId);
  freePlace(c, task);
  clearTaskTimers(c, task);
  c.tasks.delete(task.id);
}

export function writeJournal(c: Coordinator, task: Task, purpose: WritePurpose): void {
  const tab = c.tabs.get(task.tabId);
  if (tab && tab.claiming > 0) {
    tab.heldWrites.push(purpose);
  } else writeNow(c, task, purpose);
}

export function writeNow(c: Coordinator, task: Task, purpose: WritePurpose): void {
  c.lastKey += 1;
  c.writes.set(c.lastKey, { ...purpose, generation: task.generation });
  const isNew = !task.journalled;
  task.journalled = true;
  c.effects.push({ do: "write-journal", write: c.lastKey, entry: entryOf(c, task), isNew });
}

/** What had to wait for the tab's claims is written, now that the generations are known. */
export function writeHeld(c: Coordinator, tab: Tab): void {
  if (tab.claiming > 0) return;
  for (const purpose of tab.heldWrites.splice(0)) {
    const task = c.tasks.get(purpose.task);
    if (task) writeJournal(c, task, purpose);
  }
}

function entryOf(c: Coordinator, task: Task): JournalEntry {
  const settling = task.stage.at === "settling" ? task.stage.ending : undefined;
  const retained = task.record.items().filter(isRetained);
  const ending = settling && {
    ...settling,
    seq: task.seq + 1,
    taskId: task.id,
    at: c.moment.wall,
  };
  return {
    taskId: task.id,
    tabId: task.tabId,
    tabSecret: c.tabs.get(task.tabId)?.secret ?? "",
    label: task.label,
    promptId: task.promptId,
    generation: task.generation,
    serverKey: task.serverKey,
    serverId: task.serverId,
    clientId: task.clientId,
    registered: task.registered,
    adopted: task.adopted,
    posts: task.posts,
    accepted: task.accepted,
    cancelWanted: task.cancel !== undefined,
    cancelAt: settling ? undefined : task.cancelAt,
    cancelAfterMs: task.cancelAfterMs,
    workflow: task.workflow,
    submission: task.accepted || settling ? undefined : journalled(task.submission),
    lastLoss: task.lastLoss,
    seq: ending ? ending.seq : task.seq,
    events: ending ? [...retained, ending] : retained,
    createdAt: task.createdAt,
    settledAt: settling || isSettled(statusOf(task)) ? c.moment.wall : undefined,
  };
}

/** What a server takes for credentials of its own; never written down (ComfyUI execution.py). */
const secrets = ["api_key_comfy_org", "auth_token_comfy_org"];

function journalled(submission: Task["submission"]): JournalledSubmission | undefined {
  if (!submission) return undefined;
  const { server, filesAt, nodes, affinity, front, extraData } = submission;
  const kept = Object.entries(extraData ?? {}).filter(([name]) => !secrets.includes(name));
  const hadCredentials = kept.length < Object.keys(extraData ?? {}).length;
  return {
    ...(server === undefined ? {} : { server }),
    ...(filesAt === undefined ? {} : { filesAt }),
    ...(nodes === undefined ? {} : { nodes }),
    ...(affinity === undefined ? {} : { affinity }),
    ...(front ? { front } : {}),
    ...(kept.length > 0 ? { extraData: Object.fromEntries(kept) } : {}),
    ...(hadCredentials ? { hadCredentials } : {}),
  };
}
