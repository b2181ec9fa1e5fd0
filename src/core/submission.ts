import { present } from "../comfy/json.ts";
import { promptBody, readPromptAnswer } from "../comfy/prompt.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import type { Submission } from "../protocol/session-api.ts";
import { refused } from "./access.ts";
import { pursueCancel } from "./cancel.ts";
import { answer } from "./delivery.ts";
import { isRefusal, unauthorized } from "./diagnosis.ts";
import type { CallKey, DeclaredServer, HttpAnswer, TabRequest } from "./facts.ts";
import { watchHearing } from "./hearing.ts";
import { surveySoon } from "./look-up.ts";
import { ask } from "./requests.ts";
import { claimUnclaimed } from "./routing.ts";
import { choose, handOut, hasBacklog, keepWaiting, take, wishOf } from "./scheduling.ts";
import { addRoute, bindTo, ownerAt, serverOf } from "./servers.ts";
import type { Coordinator, Server, Tab, Task } from "./state.ts";
import {
  freePlace,
  isOver,
  markAccepted,
  newRecord,
  settle,
  snapshotOf,
  warn,
  warnOfMemory,
  writeJournal,
} from "./task-lifecycle.ts";

/** A POST that a proxy held back for 6 s ran after two look-ups had said no; so the second one waits. */
export const quarantineMs = 60_000;
/** A host that wakes so late after the time it had ordered stood still, and the network with it. */
export const heldUpMs = 10_000;
/**
 * How old the journal's word may be when the POST goes out. A host that was held up for longer asks again:
 * another one may have the task by now, and posts it itself when {@link quarantineMs} are over.
 */
export const freshMs = 5_000;

/** A prompt that is refused so often, by a server that takes the same credentials for all else, is given up. */
const patience = 3;

type SubmitRequest = Extract<TabRequest, { method: "submit" }>;

/** Registers the task and journals it. It exists from the moment the journal has it, whatever comes after. */
export function submit(c: Coordinator, tab: Tab, call: CallKey, request: SubmitRequest): void {
  const { submission, workflow } = request;
  const known = c.tasks.get(submission.taskId);
  if (known?.tabId === tab.tabId) {
    if (known.adopted && !known.accepted && known.workflow === undefined && !isOver(known))
      resume(c, tab, known, request, call);
    // The answer was not heard; while the journal is writing, this call waits for it, too.
    else if (known.stage.at === "journalling") known.stage.calls.push(call);
    else answer(c, call, { ok: snapshotOf(known) });
    return;
  }
  const refusal = refuse(c, tab, submission.taskId, submission.promptId, submission.server);
  if (refusal) {
    answer(c, call, { error: refusal });
    return;
  }
  const isLast = hasBacklog(c);
  const task = newTask(c, tab, {
    id: submission.taskId,
    promptId: submission.promptId,
    label: submission.label,
    candidates: candidatesFor(tab, submission),
    cancelAfterMs: submission.cancelAfterMs,
  });
  task.submission = submission;
  task.workflow = workflow;
  // Its turn, if nobody waits: then one write says both that it exists and where it goes.
  const choice = isLast ? undefined : choose(c, wishOf(c, task));
  if (choice) {
    bindTo(c, task, take(c, task, choice));
    aim(c, task);
  }
  task.stage = { at: "journalling", calls: [call], since: c.moment.now };
  writeJournal(c, task, { for: "submission", task: task.id });
}

/**
 * A call whose former host died, repeated here. Where the journal does not know the task, it never went out,
 * if that journal was one that outlived its host; else it may have, and is looked for first.
 */
function resume(
  c: Coordinator,
  tab: Tab,
  task: Task,
  { submission, workflow }: Pick<SubmitRequest, "submission" | "workflow">,
  call: CallKey,
): void {
  const wasNeverSent = c.journal === "indexeddb" && !c.journalDegraded && !isOld(c, task) && task.posts === 0;
  const refusal = wasNeverSent && refuseServer(tab, submission.server);
  if (refusal) {
    // Its page may have it in its list by now.
    settle(c, task, { type: "failed", error: refusal });
    answer(c, call, { ok: snapshotOf(task) });
    return;
  }
  task.submission = submission;
  task.workflow = workflow;
  task.candidates = candidatesFor(tab, submission);
  task.cancelAfterMs = submission.cancelAfterMs;
  if (wasNeverSent) {
    leaveServer(c, task);
    task.suspicion = undefined;
    // Promised only when it would survive this host, too.
    task.stage = { at: "journalling", calls: [call], since: c.moment.now };
    writeJournal(c, task, { for: "submission", task: task.id });
  } else {
    // It is looked for already. Where no server has it, it is sent.
    writeJournal(c, task, { for: "progress", task: task.id });
    answer(c, call, { ok: snapshotOf(task) });
  }
}

export const candidatesFor = (tab: Tab, { server }: Pick<Submission, "server">): DeclaredServer[] =>
  [...tab.servers.values()].filter(({ id }) => server === undefined || id === server);

export function leaveServer(c: Coordinator, task: Task): void {
  const server = serverOf(c, task);
  server?.routes.delete(task.promptId);
  freePlace(c, task);
  task.serverKey = undefined;
  task.serverId = undefined;
}

function refuse(
  c: Coordinator,
  tab: Tab,
  taskId: string,
  promptId: string,
  server: string | undefined,
): WireError | undefined {
  if (c.tasks.has(taskId)) return wireError("invalid-option", "This task id is taken.", { option: "taskId" });
  const refusal = refuseServer(tab, server);
  if (refusal) return refusal;
  for (const { url } of tab.servers.values())
    if (ownerAt(c, url, promptId) !== undefined)
      return wireError("invalid-option", "This prompt id is taken.", { option: "promptId" });
  return undefined;
}

function refuseServer(tab: Tab, server: string | undefined): WireError | undefined {
  if (server !== undefined && !tab.servers.has(server))
    return wireError("not-found", `This session has no server "${server}".`, { what: server });
  if (tab.servers.size === 0)
    return wireError("invalid-option", "This session names no server.", { option: "servers" });
  return undefined;
}

export function newTask(
  c: Coordinator,
  tab: Tab,
  made: Pick<Task, "id" | "promptId" | "label" | "candidates"> &
    Partial<
      Pick<
        Task,
        "registered" | "adopted" | "cancelAfterMs" | "createdAt" | "generation" | "journalled" | "lastLoss"
      >
    >,
): Task {
  const task: Task = {
    registered: false,
    registrations: [],
    adopted: false,
    createdAt: c.moment.wall,
    generation: 1,
    journalled: false,
    unmet: false,
    lastLoss: c.losses.at(-1),
    cancelAfterMs: undefined,
    ...made,
    tabId: tab.tabId,
    clientId: undefined,
    cancelAt: undefined,
    unheard: false,
    stalled: false,
    twin: false,
    adrift: false,
    submission: undefined,
    workflow: undefined,
    serverKey: undefined,
    serverId: undefined,
    chosen: undefined,
    waitsFor: undefined,
    stage: { at: "waiting" },
    accepted: false,
    number: undefined,
    posts: 0,
    refusals: new Map(),
    witness: undefined,
    quarantineUntil: c.moment.now + quarantineMs,
    roundAt: c.moment.now,
    startSeen: false,
    fallSeen: false,
    endSeenAt: undefined,
    verdict: undefined,
    endHeard: false,
    outputsIncomplete: false,
    outputBytes: 0,
    outputs: new Map(),
    seq: 0,
    record: newRecord(),
    warnings: 0,
    nodeProgress: new Map(),
    cachedNodes: 0,
    overall: undefined,
    currentNode: undefined,
    position: undefined,
    misses: 0,
    missingSince: Number.NEGATIVE_INFINITY,
    missedAt: Number.NEGATIVE_INFINITY,
    suspicion: undefined,
    suspectedAt: Number.NEGATIVE_INFINITY,
    lastNewsAt: c.moment.now,
    cancel: undefined,
  };
  c.tasks.set(task.id, task);
  return task;
}

/** The journal has the task: its owner may rely on it, and it may go out. */
export function submissionJournalled(c: Coordinator, task: Task): void {
  if (task.stage.at !== "journalling") return;
  const { calls, since } = task.stage;
  if (c.journalDegraded) warnOfMemory(c, task);
  for (const call of calls) answer(c, call, { ok: snapshotOf(task) });
  if (task.cancel) settle(c, task, { type: "cancelled", by: "owner" });
  else if (task.serverKey !== undefined) {
    task.stage = { at: "committing", since };
    postJournalled(c, task);
  } else {
    wait(c, task);
  }
}

/**
 * Whether the next host will know of a POST: by the journal, or by a page that has noted that the journal is old.
 * That takes milliseconds, unless all pages stand still.
 */
const isTraceable = (c: Coordinator): boolean =>
  !c.journalDegraded ||
  c.lossNoted ||
  (c.ports.size > 0 && [...c.ports.values()].every(({ notes }) => !notes));

/** Whether a host whose journal failed may have sent it, which is then written nowhere. */
export const isOld = (c: Coordinator, { lastLoss }: { readonly lastLoss?: string | undefined }): boolean =>
  lastLoss !== c.losses.at(-1) && c.losses.length > 0;

/** Sends what waits, as far as there is a server with a place for it. */
export function sendWaiting(c: Coordinator): void {
  if (!isTraceable(c)) return;
  handOut(c, (task, declared) => {
    bindTo(c, task, declared);
    commit(c, task);
  });
}

/** Puts it among those that wait; it is sent in this step if it is its turn. For the others it changes nothing. */
export function wait(c: Coordinator, task: Task): void {
  task.stage = { at: "waiting" };
  // While it was on its way, its tab may have got another account.
  const servers = c.tabs.get(task.tabId)?.servers;
  task.candidates = task.candidates.map((one) => servers?.get(one.id) ?? one);
  if (choose(c, wishOf(c, task))) c.sendWaiting = true;
  else keepWaiting(c, [task]);
}

/** Tells the journal where the prompt goes before it goes there; a task that is no longer ours stays here. */
export function commit(c: Coordinator, task: Task): void {
  const server = serverOf(c, task);
  if (!server || task.workflow === undefined) return;
  task.stage = { at: "committing", since: c.moment.now };
  aim(c, task);
  writeJournal(c, task, { for: "post", task: task.id });
}

/** What the journal is to say of a POST before it goes out. */
function aim(c: Coordinator, task: Task): void {
  task.posts += 1;
  task.clientId = serverOf(c, task)?.clientId;
}

/** The journal has it, and has said that the task is ours. */
export function postJournalled(c: Coordinator, task: Task): void {
  if (task.stage.at !== "committing") return;
  const server = serverOf(c, task);
  const { since } = task.stage;
  task.posts -= 1;
  if (task.cancel) settle(c, task, { type: "cancelled", by: "owner" });
  else if (server?.connection.at !== "open" || server.barred || (task.posts === 0 && !isTraceable(c)))
    uncommit(c, task);
  else if (c.moment.now - since > freshMs || task.clientId !== server.clientId) commit(c, task);
  else post(c, task);
}

/** The server, or the journal, went away meanwhile: nothing was sent, so any server will do. */
function uncommit(c: Coordinator, task: Task): void {
  if (task.posts > 0) {
    unsure(c, task, "the server went away");
    return;
  }
  leaveServer(c, task);
  task.clientId = undefined;
  // The next host would look for it there.
  writeJournal(c, task, { for: "progress", task: task.id });
  wait(c, task);
}

/** Sends the prompt. Its frames are the whole truth as long as the present socket holds. */
function post(c: Coordinator, task: Task): void {
  const server = serverOf(c, task);
  if (!server || task.workflow === undefined) return;
  task.witness = server.connection.at === "open" && task.posts === 0 ? server.connection.socket : undefined;
  task.posts += 1;
  const { front, extraData } = task.submission ?? {};
  const body = promptBody(task.workflow, {
    clientId: server.clientId,
    promptId: task.promptId,
    ...present({ front, extraData }),
  });
  task.stage = {
    at: "posting",
    request: ask(c, { for: "post", task: task.id }, server.key, "/prompt", body),
  };
}

export function postAnswered(c: Coordinator, task: Task, reply: HttpAnswer): void {
  if (isOver(task)) return;
  const server = serverOf(c, task);
  if (!server) return;
  takeAnswer(c, server, task, reply);
  // By this answer, or by a frame that was faster than an answer which got lost.
  if (task.accepted) lookAfter(c, server);
}

/** A socket may have gone deaf, and a browser may have repeated the POST: each accepted prompt is looked for. */
function lookAfter(c: Coordinator, server: Server): void {
  server.survey.owed = true;
  watchHearing(c, server);
  // Something runs before it: its position is worth asking for at once.
  surveySoon(c, server, (server.queueRemaining ?? 0) > 1 ? 100 : 5_000);
}

function takeAnswer(c: Coordinator, server: Server, task: Task, reply: HttpAnswer): void {
  if ("failure" in reply) {
    unsure(c, task, reply.failure === "timeout" ? "it did not answer in time" : "the answer was lost");
    return;
  }
  const said = readPromptAnswer(reply.status, reply.text);
  switch (said.outcome) {
    case "accepted": {
      if (said.promptId !== task.promptId) {
        if (server.routes.has(said.promptId)) {
          unsure(c, task, "the answer was another prompt's");
          return;
        }
        // Below 0.3.45 ComfyUI ignores our id and makes its own.
        server.routes.delete(task.promptId);
        task.promptId = said.promptId;
        addRoute(server, task);
        claimUnclaimed(c, server, task);
      }
      task.number = said.number;
      markAccepted(c, task);
      if (Object.keys(said.nodeErrors).length > 0)
        warn(c, task, "outputs-rejected", "Some outputs are invalid and do not run; the others do.", {
          details: said.nodeErrors,
        });
      return;
    }
    case "rejected": {
      if (task.accepted) return;
      const { error, nodeErrors } = said;
      settle(c, task, {
        type: "failed",
        error: wireError("workflow-rejected", `The server refused the workflow: ${error.message}`, {
          serverId: task.serverId ?? "",
          error,
          nodeErrors,
        }),
      });
      return;
    }
    case "unreadable":
      refusedUnread(c, task, reply.status, said.reason);
  }
}

/** An answer that is not ComfyUI's: from a proxy on the way, or from a server in trouble. */
function refusedUnread(c: Coordinator, task: Task, status: number, reason: string): void {
  if (task.accepted) return;
  const serverId = task.serverId ?? "";
  const server = serverOf(c, task);
  if (server && isRefusal(status) && task.posts === 1) {
    refusedUnauthorised(c, server, task, status);
    return;
  }
  // The server's own failures may hide a prompt that was queued all the same (ComfyUI server.py).
  if (status >= 500 || status === 200 || status === 408 || status === 429) {
    unsure(c, task, `the answer was HTTP ${status}`);
    return;
  }
  const error = isRefusal(status)
    ? unauthorized(server?.url ?? "", status, { serverId })
    : status === 413
      ? wireError("too-large", "The workflow is larger than the server takes.", {})
      : wireError("not-comfyui", `What answered is not ComfyUI: ${reason}`, { serverId, status });
  settle(c, task, { type: "failed", error });
}

/** It never got as far as ComfyUI, so it may go out again with other credentials: for those it waits. */
function refusedUnauthorised(c: Coordinator, server: Server, task: Task, status: number): void {
  const refusals = (task.refusals.get(server.key) ?? 0) + 1;
  task.refusals.set(server.key, refusals);
  refused(c, server, status);
  if (refusals === patience) {
    const error = unauthorized(server.url, status, { serverId: task.serverId ?? "" });
    settle(c, task, { type: "failed", error });
    return;
  }
  task.posts = 0;
  leaveServer(c, task);
  task.clientId = undefined;
  task.stage = { at: "waiting" };
  if (task.cancel) settle(c, task, { type: "cancelled", by: "owner" });
  else {
    writeJournal(c, task, { for: "progress", task: task.id });
    wait(c, task);
  }
}

/** Looked up, never repeated blindly: ComfyUI runs the same prompt id twice when it is sent twice. */
export function unsure(c: Coordinator, task: Task, reason: string): void {
  if (task.accepted) return;
  const server = serverOf(c, task);
  if (!server) return;
  task.stage = { at: "unsure", reason };
  task.quarantineUntil = c.moment.now + quarantineMs;
  task.misses = 0;
  task.witness = undefined;
  warn(c, task, "waiting", `Sent, but ${reason}: looking for it at the server.`);
  surveySoon(c, server, 500);
  pursueCancel(c, task);
}

/** A computer that sleeps keeps a POST on its way as it is: that time counts for nothing. */
export function noteSleep(c: Coordinator, now: number): void {
  const { wakeAt = now, moment } = c;
  if (now - Math.max(wakeAt, moment.now) < heldUpMs) return;
  for (const task of c.tasks.values()) if (!task.accepted) task.quarantineUntil += now - moment.now;
}

/** A clean look-up has not found a prompt whose POST had no clear answer. */
export function unsureAndMissing(c: Coordinator, task: Task): void {
  if (task.stage.at !== "unsure") return;
  if (task.missedAt < task.quarantineUntil || task.misses < 2) return;
  if (task.cancel) {
    settle(c, task, { type: "cancelled", by: "owner" });
    return;
  }
  const server = serverOf(c, task);
  if (task.posts < 2 && task.workflow !== undefined) {
    const tab = c.tabs.get(task.tabId);
    const named = [...(tab?.servers.values() ?? [])].map(({ key }) => key);
    // Its page has another account by now, or names other servers: it goes out like any other.
    if (tab && tab.ports.size > 0 && !named.some((key) => key === task.serverKey)) {
      leaveServer(c, task);
      task.suspicion = undefined;
      task.candidates = candidatesFor(tab, task.submission ?? {});
      wait(c, task);
    } else if (server?.connection.at === "open") commit(c, task);
    return;
  }
  settle(c, task, {
    type: "failed",
    error: wireError(
      "server-unreachable",
      `The server did not take the workflow: sent ${task.posts} times, and ${task.stage.reason}.`,
      { serverId: task.serverId ?? "" },
    ),
  });
}
