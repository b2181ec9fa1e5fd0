import { readHistory } from "../comfy/history.ts";
import { readQueue } from "../comfy/queue.ts";
import { finishAsHeard, finishFromHistory } from "./endings.ts";
import type { HttpAnswer } from "./facts.ts";
import { probeHearing } from "./hearing.ts";
import { lookUpHistory, startLookUps, surveySoon } from "./look-up.ts";
import { adoptElsewhere, askOthers } from "./recovery.ts";
import { lookUpFailed, lookUpSucceeded } from "./scheduling.ts";
import { isHearsay, openTasksAt } from "./servers.ts";
import type { Coordinator, Purpose, Server, Task } from "./state.ts";
import { unsureAndMissing } from "./submission.ts";
import {
  emit,
  isOnItsWay,
  isOver,
  markAccepted,
  markQueued,
  markStarted,
  settle,
  warn,
  writeJournal,
} from "./task-lifecycle.ts";
import { findTwins } from "./twins.ts";

/** While tasks are open, the queue is asked for so often: more where positions are waited for. */
const everyMs = { running: 15_000, queued: 10_000, failed: 5_000, unheard: 2_000 } as const;
/** Running, silent, and the queue as it was: a worker thread may have died (ComfyUI execution.py). Or nobody answers. */
const stalledMs = 180_000;
/** After a look-up that found nothing, the next one. */
const nextLookMs = 1_000;
/** So many find nothing before a task is lost: one of two servers behind an address answers each as likely as not. */
const looks = { withCause: 5, without: 10 } as const;
/** A prompt that its app has sent by itself, and that nobody has seen, may arrive for so long. */
const hearsayMs = 30_000;
/** Two look-ups closer than this are one. */
const apartMs = 1_000;
/** No queue was read before: what is not in the history either may be anywhere. */
const notAsked = Number.NEGATIVE_INFINITY;
/** An ending that a look-up has found is left to the frames on their way: until the socket is silent, or so long. */
const framesLagMs = { silent: 1_000, atMost: 10_000 } as const;

/**
 * What is in the queue is alive; what is not has ended, moved between two answers, or is gone. Asking the
 * queue before the history cannot miss a prompt that finishes meanwhile.
 */
export function surveyAnswered(
  c: Coordinator,
  server: Server,
  purpose: Extract<Purpose, { for: "survey" }>,
  answer: HttpAnswer,
): void {
  server.survey.request = undefined;
  const queue = "status" in answer && answer.status === 200 ? readQueue(answer.text) : undefined;
  if (!queue) {
    lookUpFailed(c, server);
    // It may be too long to be read, with the others' graphs in it. What has ended is in the history all the same.
    for (const task of openTasksAt(c, server)) {
      if (!isOnItsWay(task))
        watchForStall(c, task, server.aside.since, "Its server does not say how it stands");
      if (server.connection.at !== "open") askOthers(c, task, everyMs.failed);
      else if (!isOnItsWay(task)) lookUpHistory(c, server, task, notAsked);
    }
  } else {
    lookUpSucceeded(c, server);
    const running = new Map(queue.running.map(({ promptId, number }) => [promptId, number]));
    const places = new Map<string, { readonly place: number; readonly number: number }>();
    for (const [index, { promptId, number }] of queue.pending.entries())
      if (!places.has(promptId)) places.set(promptId, { place: index + queue.running.length, number });
    findTwins(c, server, queue, purpose.startedAt);
    for (const task of openTasksAt(c, server)) {
      const number = running.get(task.promptId);
      const waiting = places.get(task.promptId);
      if (number !== undefined) {
        found(c, server, task, number, purpose.startedAt);
        markStarted(c, task);
        watchForStall(c, task, server.queueFellAt, "Running, but nothing moves: the server may hang");
      } else if (waiting) {
        found(c, server, task, waiting.number, purpose.startedAt);
        // About to be sent once more, and there by now.
        if (task.stage.at === "committing") markAccepted(c, task);
        markQueued(c, task, waiting.place);
      } else if (!isOnItsWay(task) && task.lastNewsAt <= purpose.startedAt) {
        lookUpHistory(c, server, task, queue.isWhole ? purpose.startedAt : notAsked);
      }
    }
  }
  surveySoon(c, server, everyMs[queue ? paceOf(c, server) : "failed"]);
  if (server.survey.nextAt < Number.POSITIVE_INFINITY)
    surveySoon(c, server, server.survey.nextAt - c.moment.now);
}

/** Its frames go to a former host's socket, for all that is known. */
const isUnheard = ({ clientId }: Server, task: Task): boolean =>
  task.accepted && !task.registered && (task.unheard || task.clientId !== clientId);

/** What nobody will tell us has to be asked for more often. */
function paceOf(c: Coordinator, server: Server): "queued" | "running" | "unheard" {
  const open = openTasksAt(c, server);
  if (open.some((task) => isUnheard(server, task))) return "unheard";
  return open.some(({ stage }) => stage.at === "queued") ? "queued" : "running";
}

/** From then on its owner may dismiss it: a server that has gone for good, or wants other credentials, tells no ending. */
function watchForStall(c: Coordinator, task: Task, since: number, what: string): void {
  if (task.stalled || c.moment.now - Math.max(task.lastNewsAt, since) < stalledMs) return;
  task.stalled = true;
  warn(c, task, "stalled", `${what}. So it has been for ${Math.round(stalledMs / 60_000)} minutes.`);
  // At the next host, too.
  writeJournal(c, task, { for: "progress", task: task.id });
}

function found(c: Coordinator, server: Server, task: Task, number: number, askedAt: number): void {
  // The server may have been another one then: restarted since, it does not know it any more.
  if (isOnItsWay(task) || askedAt < task.suspectedAt) return;
  const isBack = task.accepted && task.misses > 0;
  // Asked before it was missed, and answered late.
  if (isBack && askedAt <= task.missedAt) return;
  // A second item under its id, from a POST that came late or was repeated, says nothing of the first.
  if (isBack && task.number === number) {
    server.divided = true;
    setAdrift(c, task);
  }
  const { connection } = server;
  const open = connection.at === "open";
  if (task.suspicion === "socket-broke" && task.accepted && open)
    emit(c, task, { type: "gap", reason: "resumed" });
  markAccepted(c, task);
  task.number = number;
  task.misses = 0;
  // What happens to it before there is a socket again, no socket tells.
  task.suspicion = open && connection.since <= askedAt ? undefined : "socket-broke";
}

export function historyAnswered(
  c: Coordinator,
  server: Server,
  purpose: Extract<Purpose, { for: "history" }>,
  answer: HttpAnswer,
): void {
  server.survey.active -= 1;
  startLookUps(c, server);
  const task = c.tasks.get(purpose.task);
  if (!task || isOver(task) || task.promptId !== purpose.promptId || task.serverKey !== server.key) return;
  const read = "status" in answer && answer.status === 200;
  const entry = read ? readHistory(answer.text, purpose.promptId) : undefined;
  // A failed look-up is "unknown", never "gone".
  if (entry === undefined) {
    surveySoon(c, server, 2_000);
    askOthers(c, task, everyMs.failed);
  } else if (entry === "unknown") missed(c, server, task, purpose.askedAt);
  else if (framesAreComing(c, server, task)) surveySoon(c, server, framesLagMs.silent);
  else finishFromHistory(c, server, task, entry);
}

/**
 * Browsers bring answers sooner than frames that were sent before them, a busy one by seconds. On a socket
 * that has been unbroken since before the POST the frames still come, with what no history keeps: warnings,
 * texts, previews.
 */
function framesAreComing(c: Coordinator, { connection, hearing }: Server, task: Task): boolean {
  if (task.cancel || connection.at !== "open" || task.witness !== connection.socket) return false;
  task.endSeenAt ??= c.moment.now;
  const { now } = c.moment;
  const silentFor = now - Math.max(hearing.lastAt, task.endSeenAt);
  return silentFor < framesLagMs.silent && now - task.endSeenAt < framesLagMs.atMost;
}

/**
 * In neither the queue nor the history: once may be a moment between two answers, twice is evidence. Of what
 * was then, not of now: answers may be late, and the computer may have slept over them.
 */
function missed(c: Coordinator, server: Server, task: Task, askedAt: number): void {
  if (isOnItsWay(task) || task.lastNewsAt > askedAt) return;
  if (!task.adrift) surveySoon(c, server, nextLookMs);
  // The server said itself that it let go of it; that it is nowhere now is all there is left to see.
  const confirmedAt = task.cancel?.confirmedAt ?? Number.POSITIVE_INFINITY;
  if (confirmedAt <= askedAt && task.stage.at !== "unsure") {
    settle(c, task, { type: "cancelled", by: "owner" });
    return;
  }
  if (askedAt - task.missedAt < apartMs) return;
  task.misses += 1;
  task.missedAt = askedAt;
  if (task.misses === 1) task.missingSince = askedAt;
  if (task.stage.at === "unsure") unsureAndMissing(c, task);
  else if (task.misses >= 2) unknownTwice(c, server, task);
}

function unknownTwice(c: Coordinator, server: Server, task: Task): void {
  if (task.adopted && !task.accepted) adoptElsewhere(c, task);
  else if (task.endHeard && task.verdict) finishAsHeard(c, server, task, task.verdict);
  else if (task.cancel) {
    if (task.misses >= looks.withCause && !mayStillCome(task))
      settle(c, task, { type: "cancelled", by: "owner" });
  } else if (task.adrift || server.divided) setAdrift(c, task);
  else mayBeLost(c, server, task);
}

/** Its app may be sending it just now. */
const mayStillCome = (task: Task): boolean =>
  isHearsay(task) && task.missedAt - task.missingSince < hearsayMs;

const settleLost = (c: Coordinator, task: Task): void =>
  settle(c, task, {
    type: "lost",
    reason: task.suspicion === "socket-broke" ? "server-restarted" : "removed",
  });

/**
 * Where it was missing before anything was seen to happen: a socket that hears would have told of it, unless it is
 * one of several servers', or only a former host's socket was told of it. Whether it hears is asked at random, for where two servers take turns, the same
 * questions in the same order would come to the same one for ever.
 */
function mayBeLost(c: Coordinator, server: Server, task: Task): void {
  const { suspicion, suspectedAt, missingSince, misses } = task;
  // Its POST may be on its way; and what became of it may have been before our time.
  const mayBeNews = isHearsay(task);
  const hasCause = suspicion !== undefined && suspectedAt <= missingSince && !mayBeNews;
  if (mayStillCome(task) || misses < (hasCause ? looks.withCause : looks.without)) {
    if (c.moment.random < 0.5) probeHearing(c, server);
    return;
  }
  // One that was sent under another client id has its end told to that one alone.
  const isTold = !task.registered || task.startSeen;
  const hears = isTold && server.hearing.lastAt - missingSince > framesLagMs.silent;
  if (hears && suspicion === undefined && !isUnheard(server, task)) setAdrift(c, task);
  else settleLost(c, task);
}

/** From now on it stays open until it is heard of or dismissed, also at the next host. */
function setAdrift(c: Coordinator, task: Task): void {
  // What the server does not know takes no place there.
  c.sendWaiting = true;
  if (task.adrift) return;
  task.adrift = true;
  warn(
    c,
    task,
    "not-one-server",
    "The server took this prompt and did not know it later, though nothing happened to it: several servers may share this address.",
  );
  writeJournal(c, task, { for: "progress", task: task.id });
}
