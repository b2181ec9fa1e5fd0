import type { HostMode } from "../protocol/session-api.ts";
import { abandoned, expire, lookForOverdue, overdueClaimed, tabProbed } from "./absence.ts";
import { askVersion, diagnosisAnswered, refused } from "./access.ts";
import { cancelAnswered, cancelOverdue, pursueCancel } from "./cancel.ts";
import {
  connect,
  handshakeTimedOut,
  hostProbed,
  releaseIfUnwanted,
  replaceSocket,
  socketClosed,
  socketOpened,
  versionAnswered,
  wentOnline,
} from "./connection.ts";
import {
  answer,
  deliver,
  flushBeforeAnswer,
  flushTouchedPorts,
  portAcknowledged,
  portResumed,
  portSuspended,
  portTicked,
} from "./delivery.ts";
import type { Effect } from "./effects.ts";
import type { Fact, HttpAnswer, Moment, RequestKey, WriteKey } from "./facts.ts";
import { doubtHearing, hearingAnswered } from "./hearing.ts";
import type { JournalEntry, WriteOutcome } from "./journal.ts";
import { locksDue, newLocks } from "./locks.ts";
import { startSurvey } from "./look-up.ts";
import { historyAnswered, surveyAnswered } from "./reconcile.ts";
import { claimedAgain, superseded } from "./recovery.ts";
import { log } from "./requests.ts";
import { messageReceived } from "./routing.ts";
import { tellPositions } from "./scheduling.ts";
import { dropSilent, helloSaid, tabCalled, tabClaimed, tabGone } from "./session.ts";
import { heard } from "./silence.ts";
import type { Coordinator, Timer } from "./state.ts";
import {
  heldUpMs,
  noteSleep,
  postAnswered,
  postJournalled,
  sendWaiting,
  submissionJournalled,
} from "./submission.ts";
import { isOver, snapshotOf, tellEnding, warnOfMemory, writeHeld } from "./task-lifecycle.ts";
import { orderWakeUp, setTimer, takeDueTimers } from "./timers.ts";
import { twinAnswered } from "./twins.ts";

export interface CoordinatorOptions {
  /** Unique to this host, and not to be guessed: client ids are made from it. */
  readonly epoch: string;
  readonly mode: HostMode;
  readonly build: string;
  readonly journal: "memory" | "indexeddb";
}

export function createCoordinator(options: CoordinatorOptions): Coordinator {
  return {
    ...options,
    ports: new Map(),
    tabs: new Map(),
    servers: new Map(),
    tasks: new Map(),
    locks: newLocks(),
    sockets: new Map(),
    requests: new Map(),
    writes: new Map(),
    claims: new Map(),
    arriving: new Map(),
    journalDegraded: false,
    lossNoted: false,
    losses: [],
    calls: new Map(),
    timers: new Map(),
    twins: { seen: 0, removed: 0 },
    dismissed: new Set(),
    inherited: new Set(),
    lastKey: 0,
    nextClientId: undefined,
    sendWaiting: false,
    positionsAt: Number.NEGATIVE_INFINITY,
    wakeAt: undefined,
    moment: { now: 0, wall: 0, random: 0 },
    effects: [],
    touchedPorts: new Set(),
  };
}

/** By then what came in while the host was held up has been read. */
const afterWakingMs = 1_000;

/**
 * The whole of the coordinator: something has happened, and this is what is to be done about it. No clock,
 * no dice, no platform; the same facts at the same moments make the same effects.
 */
export function step(c: Coordinator, fact: Fact, moment: Moment): Effect[] {
  noteSleep(c, moment.now);
  c.moment = moment;
  c.effects = [];
  take(c, fact);
  if (c.sendWaiting) {
    c.sendWaiting = false;
    sendWaiting(c);
  }
  flushTouchedPorts(c);
  orderWakeUp(c);
  return c.effects;
}

function take(c: Coordinator, fact: Fact): void {
  switch (fact.type) {
    case "tab-said-hello":
      helloSaid(c, fact.port, fact.call, fact.hello);
      return;
    case "tab-called":
      heard(c, fact.port);
      tabCalled(c, fact.port, fact.call, fact.request);
      return;
    case "tab-acknowledged":
      heard(c, fact.port);
      portAcknowledged(c, fact.port, fact.batch);
      return;
    case "tab-noted":
      heard(c, fact.port);
      lossNoted(c);
      return;
    case "tab-suspended":
      heard(c, fact.port);
      portSuspended(c, fact.port);
      return;
    case "tab-resumed":
      heard(c, fact.port);
      portResumed(c, fact.port);
      return;
    case "tab-gone":
      tabGone(c, fact.port);
      return;
    case "port-ticked":
      portTicked(c, fact.port);
      return;
    case "transfer-progressed": {
      const port = c.ports.get(fact.port);
      const { transferId, loaded, total } = fact;
      if (port) deliver(c, port, { kind: "transfer", transferId, loaded, total });
      return;
    }
    case "transfer-ended":
      flushBeforeAnswer(c, fact.port);
      return;
    case "host-probed": {
      const server = c.servers.get(fact.server);
      if (server) hostProbed(c, server, fact.dead);
      return;
    }
    case "tab-probed": {
      const task = c.tasks.get(fact.task);
      if (task) tabProbed(c, task, fact.lives);
      return;
    }
    case "socket-opened":
      socketOpened(c, fact.socket);
      return;
    case "message-received":
      messageReceived(c, fact.socket, fact.message, fact.bytes);
      return;
    case "socket-closed":
      socketClosed(c, fact.socket);
      return;
    case "request-answered":
      requestAnswered(c, fact.request, fact.answer);
      return;
    case "host-started":
      lookForOverdue(c);
      expire(c);
      return;
    case "journal-written":
      journalWritten(c, fact.write, fact.outcome);
      return;
    case "journal-claimed":
      journalClaimed(c, fact.claim, fact.entries);
      return;
    case "journal-degraded":
      journalDegraded(c, fact.reason);
      return;
    case "went-online":
      wentOnline(c);
      return;
    case "time-passed":
      // The wake-up that was ordered is used up, whether or not it is the reason for this.
      c.wakeAt = undefined;
      for (const timer of takeDueTimers(c)) timerFired(c, timer);
  }
}

function requestAnswered(c: Coordinator, request: RequestKey, answer: HttpAnswer): void {
  const purpose = c.requests.get(request);
  if (!purpose) return;
  c.requests.delete(request);
  if (purpose.for === "post" || purpose.for === "cancel") {
    const task = c.tasks.get(purpose.task);
    if (!task) return;
    if (purpose.for === "cancel") cancelAnswered(c, task, purpose, answer);
    else {
      postAnswered(c, task, answer);
      pursueCancel(c, task);
    }
    return;
  }
  const server = c.servers.get(purpose.server);
  if (!server) return;
  if ("status" in answer && answer.status === 401 && purpose.for !== "diagnosis") refused(c, server, 401);
  switch (purpose.for) {
    case "version":
      versionAnswered(c, server, answer);
      return;
    case "hearing":
      if (hearingAnswered(c, server, answer) === "deaf") replaceSocket(c, server);
      return;
    case "twin":
      twinAnswered(c, server);
      return;
    case "diagnosis":
      diagnosisAnswered(c, server, purpose, answer);
      return;
    case "survey":
      surveyAnswered(c, server, purpose, answer);
      return;
    case "history":
      historyAnswered(c, server, purpose, answer);
  }
}

function journalClaimed(c: Coordinator, claim: WriteKey, entries: readonly JournalEntry[]): void {
  const purpose = c.claims.get(claim);
  c.claims.delete(claim);
  if (purpose?.for === "hello") tabClaimed(c, purpose, entries);
  else if (purpose?.for === "again") claimedAgain(c, purpose.tabId, entries);
  else if (purpose) overdueClaimed(c, entries);
}

/** Nothing is lost yet; that all dies with the host now is said before anything more is done. */
function journalDegraded(c: Coordinator, reason: string): void {
  c.journal = "memory";
  c.journalDegraded = true;
  log(c, "warn", `the journal goes on in memory: ${reason}`);
  for (const port of c.ports.values()) deliver(c, port, { kind: "journal", journal: c.journal });
  for (const task of c.tasks.values()) if (!isOver(task)) warnOfMemory(c, task);
}

/** Whatever host comes next, it learns that the journal is old: tasks may go out again. */
function lossNoted(c: Coordinator): void {
  // The word may have been for a host that was behind this port before.
  if (!c.journalDegraded) return;
  c.lossNoted = true;
  c.sendWaiting = true;
}

function journalWritten(c: Coordinator, write: WriteKey, outcome: WriteOutcome): void {
  const purpose = c.writes.get(write);
  c.writes.delete(write);
  const task = purpose && c.tasks.get(purpose.task);
  const adopter = purpose?.for === "adoption" ? c.tabs.get(purpose.tabId) : undefined;
  if (adopter) adopter.claiming -= 1;
  // Claimed back before anything that was held is written over it.
  if (task && outcome === "superseded") superseded(c, task, purpose);
  if (adopter) writeHeld(c, adopter);
  if (!task || outcome === "superseded") return;
  switch (purpose.for) {
    case "submission":
      submissionJournalled(c, task);
      return;
    case "registration":
      if (c.journalDegraded) warnOfMemory(c, task);
      for (const call of task.registrations.splice(0)) answer(c, call, { ok: snapshotOf(task) });
      return;
    case "post":
      postJournalled(c, task);
      return;
    case "cancel":
      if (task.cancel) task.cancel.intent = "journalled";
      pursueCancel(c, task);
      return;
    case "ending": {
      tellEnding(c, task);
      const server = task.serverKey && c.servers.get(task.serverKey);
      if (server) releaseIfUnwanted(c, server);
    }
  }
}

function timerFired(c: Coordinator, timer: Timer): void {
  switch (timer.timer) {
    case "connect":
    case "barred":
    case "survey":
    case "hearing":
    case "handshake": {
      const server = c.servers.get(timer.server);
      if (!server) return;
      if (timer.timer === "connect") connect(c, server);
      else if (timer.timer === "barred") askVersion(c, server);
      else if (timer.timer === "survey") startSurvey(c, server);
      else if (timer.timer === "hearing") doubtHearing(c, server);
      else handshakeTimedOut(c, server, timer.socket);
      return;
    }
    case "overdue":
      // Held up: what the pages have said meanwhile is yet to be read.
      if (c.moment.now - timer.at >= heldUpMs) setTimer(c, { ...timer, at: c.moment.now + afterWakingMs });
      else {
        lookForOverdue(c);
        dropSilent(c);
      }
      return;
    case "expire":
      expire(c);
      return;
    case "aside":
      c.sendWaiting = true;
      return;
    case "locks":
      locksDue(c);
      return;
    case "backlog":
      tellPositions(c);
      return;
    case "abandoned":
    case "cancel-again":
    case "cancel-deadline": {
      const task = c.tasks.get(timer.task);
      if (!task) return;
      if (timer.timer === "cancel-again") pursueCancel(c, task);
      else if (timer.timer === "abandoned") abandoned(c, task);
      else cancelOverdue(c, task);
    }
  }
}
