import type { HostMode } from "../protocol/session-api.ts";
import { cancelAnswered, cancelOverdue, pursueCancel } from "./cancel.ts";
import {
  connect,
  diagnosisAnswered,
  handshakeTimedOut,
  releaseIfUnwanted,
  socketClosed,
  socketOpened,
  versionAnswered,
  wentOnline,
} from "./connection.ts";
import {
  deliver,
  flushTouchedPorts,
  portAcknowledged,
  portResumed,
  portSuspended,
  portTicked,
} from "./delivery.ts";
import type { Effect } from "./effects.ts";
import type { Fact, HttpAnswer, Moment, RequestKey, WriteKey } from "./facts.ts";
import { startSurvey } from "./look-up.ts";
import { historyAnswered, surveyAnswered } from "./reconcile.ts";
import { messageReceived } from "./routing.ts";
import { helloSaid, tabCalled, tabGone } from "./session.ts";
import type { Coordinator, Timer } from "./state.ts";
import { postAnswered, sendWaiting, submissionJournalled } from "./submission.ts";
import { tellEnding } from "./task-lifecycle.ts";
import { orderWakeUp, takeDueTimers } from "./timers.ts";

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
    sockets: new Map(),
    requests: new Map(),
    writes: new Map(),
    calls: new Map(),
    timers: new Map(),
    twins: { seen: 0, removed: 0 },
    lastKey: 0,
    sendWaiting: false,
    wakeAt: undefined,
    moment: { now: 0, wall: 0, random: 0 },
    effects: [],
    touchedPorts: new Set(),
  };
}

/**
 * The whole of the coordinator: something has happened, and this is what is to be done about it. No clock,
 * no dice, no platform; the same facts at the same moments make the same effects.
 */
export function step(c: Coordinator, fact: Fact, moment: Moment): Effect[] {
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
      tabCalled(c, fact.port, fact.call, fact.request);
      return;
    case "tab-acknowledged":
      portAcknowledged(c, fact.port, fact.batch);
      return;
    case "tab-suspended":
      portSuspended(c, fact.port);
      return;
    case "tab-resumed":
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
    case "journal-written":
      journalWritten(c, fact.write);
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
  switch (purpose.for) {
    case "version":
      versionAnswered(c, server, answer);
      return;
    case "diagnosis":
      diagnosisAnswered(c, server, answer);
      return;
    case "survey":
      surveyAnswered(c, server, purpose, answer);
      return;
    case "history":
      historyAnswered(c, server, purpose, answer);
  }
}

function journalWritten(c: Coordinator, write: WriteKey): void {
  const purpose = c.writes.get(write);
  c.writes.delete(write);
  const task = purpose && c.tasks.get(purpose.task);
  if (!task) return;
  switch (purpose.for) {
    case "submission":
      submissionJournalled(c, task);
      return;
    case "cancel":
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
    case "survey":
    case "handshake": {
      const server = c.servers.get(timer.server);
      if (!server) return;
      if (timer.timer === "connect") connect(c, server);
      else if (timer.timer === "survey") startSurvey(c, server);
      else handshakeTimedOut(c, server, timer.socket);
      return;
    }
    case "cancel-again":
    case "cancel-deadline": {
      const task = c.tasks.get(timer.task);
      if (!task) return;
      if (timer.timer === "cancel-again") pursueCancel(c, task);
      else cancelOverdue(c, task);
    }
  }
}
