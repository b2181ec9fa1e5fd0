import { createCoordinator, step } from "../core/coordinator.ts";
import { deliveryWindow } from "../core/delivery.ts";
import type { Effect } from "../core/effects.ts";
import type { CallKey, Fact, Moment, PortKey } from "../core/facts.ts";
import { watch } from "../core/invariants.ts";
import type { Coordinator } from "../core/state.ts";
import { isEnding } from "../protocol/mailbox.ts";
import type { Answer, HostEvent } from "../protocol/session-api.ts";
import type { Agenda } from "./agenda.ts";
import type { Dice } from "./dice.ts";
import type { Line, Network } from "./network-model.ts";
import { createHostJournal, type HostJournal, type Storage } from "./storage-model.ts";

/** What a page hears on its port, late and in order. */
export interface PageEnd {
  events(batch: number, events: readonly HostEvent[]): void;
  answer(call: number, answer: Answer<unknown>): void;
  dropped?(): void;
}

/** One life of one host: the real core, with a model of all that a worker has around it. */
export interface HostModel {
  readonly epoch: string;
  readonly coordinator: Coordinator;
  /** Nothing can happen any more: does it owe something to a page that is there? */
  checkAtRest(): void;
  readonly journal: HostJournal;
  readonly state: "live" | "hung" | "dead";
  readonly isLeft: boolean;
  /** Facts that it has taken. */
  readonly steps: number;
  tell(fact: Fact): void;
  addPort(port: PortKey, page: PageEnd): void;
  removePort(port: PortKey): void;
  kill(): void;
  /** From here on what happens to it waits. */
  hang(): void;
  /** A page has stolen its lock: when it wakes it learns that, and retires. */
  leave(): void;
  resume(): void;
  /** Called before each fact, so that a fault can come just then. */
  onFact: ((fact: Fact) => void) | undefined;
}

export interface HostMeans {
  readonly epoch: string;
  readonly mode: "shared" | "solo";
  readonly agenda: Agenda;
  readonly dice: Dice;
  readonly network: Network;
  readonly storage: Storage;
  wall(): number;
  /** Whether that host's lock can be had without stealing it. */
  isDead(epoch: string): boolean;
  isTabThere(tabId: string): boolean;
  /** What it did, for the transcript. */
  note?: ((fact: Fact, effects: readonly Effect[]) => void) | undefined;
}

/** What waits goes out before an answer, whether or not the window is full. */
const answersInARow = 10;

export function createHostModel(means: HostMeans): HostModel {
  const { epoch, mode, agenda, dice, network, storage, wall, note } = means;
  const journalKind = storage.health === "well" ? "indexeddb" : "memory";
  const coordinator = createCoordinator({ epoch, mode, build: "world", journal: journalKind });
  const watcher = watch(coordinator);
  const pages = new Map<PortKey, PageEnd>();
  const callers = new Map<CallKey, PortKey>();
  const suspended = new Set<PortKey>();
  const late: Fact[] = [];
  let state: HostModel["state"] = "live";
  let left = false;
  let steps = 0;
  let cancelAlarm = (): void => {};

  const line: Line = network.line(tell);
  const journal = createHostJournal({
    storage,
    at: agenda.at,
    latency: () => dice.delay(3),
    now: () => agenda.now,
    isDead: () => state === "dead",
    degraded: (reason) => tell({ type: "journal-degraded", reason }),
  });

  function tell(fact: Fact): void {
    if (state === "dead") return;
    host.onFact?.(fact);
    if (state === "hung") late.push(fact);
    else take(fact);
  }

  function take(fact: Fact): void {
    steps += 1;
    if ("call" in fact) callers.set(fact.call, fact.port);
    if (fact.type === "tab-suspended") suspended.add(fact.port);
    else if (fact.type === "tab-resumed" || fact.type === "tab-gone") suspended.delete(fact.port);
    const moment: Moment = { now: agenda.now, wall: wall(), random: dice.next() };
    const effects = step(coordinator, fact, moment);
    note?.(fact, effects);
    watcher.after(fact, effects, moment);
    for (const effect of effects) obey(effect);
  }

  /** An ending that no journal has would die with this host; a window that is not kept has no end. */
  function checkBatch(key: PortKey, events: readonly HostEvent[]): void {
    for (const one of events)
      if (one.kind === "task" && isEnding(one.event) && !journal.hasEnding(one.event.taskId))
        throw new Error(`G2 is broken: the ending of ${one.event.taskId} is told before it is journalled`);
    const flying = coordinator.ports.get(key)?.flying.length ?? 0;
    if (flying > deliveryWindow.batches + answersInARow)
      throw new Error(`G8 is broken: ${flying} batches are on their way to a page that does not read`);
  }

  function obey(effect: Effect): void {
    switch (effect.do) {
      case "post-batch":
        if (suspended.has(effect.port))
          throw new Error("G2 is broken: a page in the back/forward cache is sent a message");
        checkBatch(effect.port, effect.events);
        pages.get(effect.port)?.events(effect.batch, effect.events);
        return;
      case "drop-port":
        pages.get(effect.port)?.dropped?.();
        return;
      case "request-tick":
        agenda.after(dice.next() * 2, () => tell({ type: "port-ticked", port: effect.port }));
        return;
      case "answer":
        pages.get(callers.get(effect.call) ?? -1)?.answer(effect.call, effect.answer);
        callers.delete(effect.call);
        return;
      case "open-socket":
        line.open(effect.server, effect.socket, effect.clientId);
        return;
      case "close-socket":
        line.close(effect.socket);
        return;
      case "probe-host": {
        const { server, epoch: other } = effect;
        agenda.after(dice.delay(3), () => tell({ type: "host-probed", server, dead: means.isDead(other) }));
        return;
      }
      case "probe-tab": {
        const { task, tabId } = effect;
        agenda.after(dice.delay(3), () => tell({ type: "tab-probed", task, lives: means.isTabThere(tabId) }));
        return;
      }
      case "send-text":
        line.send(effect.socket, effect.text);
        return;
      case "request":
        line.request(effect.server, effect);
        return;
      case "write-journal": {
        const { write } = effect;
        journal.write(effect.entry, effect.isNew, (outcome) =>
          tell({ type: "journal-written", write, outcome }),
        );
        return;
      }
      case "erase-journal":
        journal.erase(effect.taskIds);
        return;
      case "claim-journal": {
        const { claim } = effect;
        journal.claim(effect.tabId, effect.tabSecret, (entries) =>
          tell({ type: "journal-claimed", claim, entries }),
        );
        return;
      }
      case "claim-overdue": {
        const { claim } = effect;
        journal.claimOverdue(effect.before, (entries) => tell({ type: "journal-claimed", claim, entries }));
        return;
      }
      case "wake":
        cancelAlarm();
        cancelAlarm =
          effect.at === undefined
            ? () => {}
            : agenda.after(effect.at - agenda.now, () => tell({ type: "time-passed" }));
        return;
      // Worlds are too short for anything to expire.
      case "expire-journal":
      case "allow-transfer":
      case "log":
        return;
    }
  }

  const host: HostModel = {
    epoch,
    coordinator,
    checkAtRest: () => watcher.atRest((port) => pages.has(port)),
    journal,
    get state() {
      return state;
    },
    get isLeft() {
      return left;
    },
    get steps() {
      return steps;
    },
    tell,
    addPort: (port, page) => pages.set(port, page),
    removePort: (port) => pages.delete(port),
    kill() {
      state = "dead";
      cancelAlarm();
      pages.clear();
      line.end();
    },
    hang() {
      if (state === "live") state = "hung";
    },
    leave() {
      left = true;
      if (state === "live") host.kill();
    },
    resume() {
      if (state !== "hung") return;
      state = "live";
      // The theft of its lock is one of the things that wait, somewhere among them.
      for (let rest = left ? dice.whole(0, late.length) : late.length; rest > 0; rest -= 1) {
        const fact = late.shift();
        if (fact && host.state === "live") take(fact);
      }
      if (left) host.kill();
    },
    onFact: undefined,
  };
  tell({ type: "host-started" });
  return host;
}
