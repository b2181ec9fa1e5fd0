import { socketAddress } from "../comfy/addresses.ts";
import { isRefusal } from "../core/diagnosis.ts";
import type { Effect } from "../core/effects.ts";
import type { CallKey, Fact, HttpAnswer, Moment, PortKey, WriteKey } from "../core/facts.ts";
import { freshMs } from "../core/submission.ts";
import { wireError } from "../protocol/errors.ts";
import type { Answer, EventEnvelope } from "../protocol/session-api.ts";
import type { Accounts } from "./accounts.ts";
import type { Reply } from "./endpoint.ts";
import type { Journal } from "./journal/journal.ts";
import { askServer, type BlockOf, type FetchLike } from "./server/http.ts";
import type { Sockets } from "./server/socket.ts";
import { createAlarm } from "./timers.ts";
import type { Transfers } from "./transfers.ts";

type Post = (message: unknown, transfer: Transferable[]) => void;

/** The loop: facts go into the core one after the other, and what it orders is done in that order. */
export interface Runtime {
  tell(fact: Fact): void;
  /** Asks on behalf of a tab. The reply is given with the decision, before anything that is decided later. */
  call(ask: (call: CallKey) => Fact, reply: Reply): void;
  answer(call: CallKey, answer: Answer<unknown>): void;
  addPort(key: PortKey, post: Post, dropped: () => void): void;
  removePort(key: PortKey): void;
  /** Its tabs have left it for another host: nothing happens here any more. */
  stop(): void;
}

export interface RuntimeMeans {
  readonly epoch: string;
  readonly step: (fact: Fact, moment: Moment) => readonly Effect[];
  readonly clock: { now(): number; wall(): number; random(): number };
  readonly journal: Journal;
  readonly accounts: Accounts;
  readonly fetch: FetchLike;
  readonly blockOf: BlockOf;
  readonly sockets: (tell: (fact: Fact) => void) => Sockets;
  readonly transfers: () => Transfers;
  /** Whether the host of this epoch is known to be dead. Never rejects. */
  readonly isDead: (epoch: string) => Promise<boolean>;
  /** Whether a page is known to be this tab. Never rejects. */
  readonly isTabThere: (tabId: string) => Promise<boolean>;
  /** Calls back in a task of its own, after what is already waiting. */
  readonly afterThisTask: (then: () => void) => void;
  readonly log: (level: "debug" | "warn", message: string) => void;
}

export function createRuntime(means: RuntimeMeans): Runtime {
  const { epoch, step, clock, journal, accounts, fetch, blockOf, afterThisTask, log } = means;
  const ports = new Map<PortKey, { readonly post: Post; readonly dropped: () => void }>();
  const calls = new Map<CallKey, Reply>();
  const facts: Fact[] = [];
  let stepping = false;
  let stopped = false;
  let lastCall = 0;

  function tell(fact: Fact): void {
    if (stopped) return;
    facts.push(fact);
    if (stepping) return;
    stepping = true;
    try {
      for (let next = facts.shift(); next; next = facts.shift()) takeStep(next);
    } finally {
      stepping = false;
    }
  }

  function takeStep(fact: Fact): void {
    try {
      const moment = { now: clock.now(), wall: clock.wall(), random: clock.random() };
      for (const effect of step(fact, moment)) carryOut(effect);
    } catch (thrown) {
      // A bug must not hang the tab that met it, nor stop the others.
      log("warn", `${fact.type} failed: ${whatWasThrown(thrown)}`);
      if ("call" in fact)
        answer(fact.call, {
          error: wireError("host-lost", `The host failed at this call: ${String(thrown)}`, {}),
        });
    }
  }

  /** One that fails takes none of those after it along: each may be what a task waits for. */
  function carryOut(effect: Effect): void {
    try {
      obey(effect);
    } catch (thrown) {
      log("warn", `${effect.do} failed: ${whatWasThrown(thrown)}`);
    }
  }

  function obey(effect: Effect): void {
    switch (effect.do) {
      case "post-batch":
        postBatch(effect);
        return;
      case "drop-port":
        ports.get(effect.port)?.dropped();
        return;
      case "request-tick":
        afterThisTask(() => tell({ type: "port-ticked", port: effect.port }));
        return;
      case "answer":
        answer(effect.call, effect.answer);
        return;
      case "open-socket": {
        means.transfers().reconnected(effect.server);
        const { query } = accounts.credentials(effect.server);
        sockets.open(effect.socket, socketAddress(accounts.url(effect.server), effect.clientId, query));
        return;
      }
      case "probe-host": {
        const { server } = effect;
        void means.isDead(effect.epoch).then((dead) => tell({ type: "host-probed", server, dead }));
        return;
      }
      case "probe-tab": {
        const { task } = effect;
        void means.isTabThere(effect.tabId).then((lives) => tell({ type: "tab-probed", task, lives }));
        return;
      }
      case "close-socket":
        sockets.close(effect.socket);
        return;
      case "send-text":
        sockets.send(effect.socket, effect.text);
        return;
      case "request": {
        const { request, server, path, ...rest } = effect;
        const url = accounts.url(server) + path;
        const askedAt = clock.now();
        const ask = async (): Promise<HttpAnswer> => {
          const credentials = accounts.credentials(server);
          const reply = await askServer(fetch, { ...rest, url }, credentials, blockOf);
          if (!("status" in reply) || !isRefusal(reply.status)) return reply;
          accounts.refused(server, credentials);
          // Others came while it was on its way, or another page has them. It has not reached ComfyUI. Not later:
          // whether the task is still ours was looked at before.
          const isOld = accounts.credentials(server) !== credentials;
          return isOld && !stopped && clock.now() - askedAt < freshMs ? ask() : reply;
        };
        void ask().then((answer) => tell({ type: "request-answered", request, answer }));
        return;
      }
      case "allow-transfer":
        means.transfers().allowed(effect);
        return;
      // The journal never rejects: it goes on in memory, and says so.
      case "write-journal": {
        const { write, entry, isNew } = effect;
        void journal.write(entry, isNew).then((outcome) => tell({ type: "journal-written", write, outcome }));
        return;
      }
      case "erase-journal":
        void journal.erase(effect.taskIds);
        return;
      case "claim-journal":
        claimed(effect.claim, journal.claim(effect.tabId, effect.tabSecret));
        return;
      case "claim-overdue":
        claimed(effect.claim, journal.claimOverdue(effect.before));
        return;
      case "expire-journal":
        void journal.expire(effect.before, effect.perTab, effect.inAll);
        return;
      case "wake":
        alarm.set(effect.at);
        return;
      case "log":
        log(effect.level, effect.message);
    }
  }

  function claimed(claim: WriteKey, entries: ReturnType<Journal["claim"]>): void {
    void entries.then((found) => tell({ type: "journal-claimed", claim, entries: found }));
  }

  function postBatch({ port, batch, events }: Extract<Effect, { do: "post-batch" }>): void {
    const previews = new Set<ArrayBuffer>();
    const sent = events.filter((event) => {
      if (event.kind !== "task" || event.event.type !== "preview") return true;
      // Bytes that have been transferred once are gone; a batch with them could not be posted at all.
      if (event.event.image.byteLength === 0) return false;
      previews.add(event.event.image);
      return true;
    });
    const envelope: EventEnvelope = { comfyTabs: "events", epoch, batch, events: sent };
    ports.get(port)?.post(envelope, [...previews]);
  }

  function answer(call: CallKey, given: Answer<unknown>): void {
    const reply = calls.get(call);
    calls.delete(call);
    reply?.(given);
  }

  const sockets = means.sockets(tell);
  const alarm = createAlarm(clock.now, () => tell({ type: "time-passed" }));

  return {
    tell,
    call(ask, reply) {
      lastCall += 1;
      const fact = ask(lastCall);
      calls.set(lastCall, reply);
      tell(fact);
    },
    answer,
    addPort: (key, post, dropped) => ports.set(key, { post, dropped }),
    removePort: (key) => ports.delete(key),
    stop() {
      stopped = true;
      alarm.set(undefined);
      sockets.closeAll();
    },
  };
}

const whatWasThrown = (thrown: unknown): string =>
  thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
