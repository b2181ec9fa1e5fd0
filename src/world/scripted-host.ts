import type { ServerMessage } from "../comfy/messages.ts";
import { createCoordinator, step } from "../core/coordinator.ts";
import type { Effect } from "../core/effects.ts";
import type { DeclaredServer, Fact, HttpAnswer, PortKey, TabRequest } from "../core/facts.ts";
import { type Watch, watch } from "../core/invariants.ts";
import type { Coordinator } from "../core/state.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type {
  Answer,
  HostEvent,
  KnownLock,
  KnownTask,
  Submission,
  Welcome,
} from "../protocol/session-api.ts";
import type { PortTaskEvent, TaskSnapshot } from "../protocol/tasks.ts";
import { type JournalModel, journalModel } from "./journal-model.ts";

type Request = Extract<Effect, { do: "request" }>;

/**
 * A coordinator whose whole surroundings the test plays by hand: it says what the sockets say and answers
 * every request itself. The promises are checked after every step. Time stands still until told.
 */
export interface ScriptedHost {
  readonly coordinator: Coordinator;
  readonly watch: Watch;
  now: number;
  /** Every effect since the start. */
  readonly effects: Effect[];
  take(fact: Fact): readonly Effect[];
  /** Writes are done, and not answered until they are released. */
  holdJournal(what?: "writes" | "all"): void;
  releaseJournal(): void;
  /** Lets time pass, with every wake-up on the way. */
  pass(ms: number): void;
  tab(name: string, options?: TabOptions): ScriptedTab;
  /** Opens the socket that was ordered last for this server, and says the first `status` on it. */
  openSocket(server?: DeclaredServer, queueRemaining?: number): void;
  closeSocket(server?: DeclaredServer): void;
  say(...messages: ServerMessage[]): void;
  /** Requests that nobody has answered. */
  pending(path?: string | RegExp): Request[];
  /** Answers the oldest pending request to this path. */
  reply(path: string | RegExp, answer: HttpAnswer | object): void;
}

export interface TabOptions {
  readonly servers?: readonly DeclaredServer[];
  readonly tabId?: string;
  readonly secret?: string;
  readonly tasks?: readonly KnownTask[];
  readonly locks?: readonly KnownLock[];
  readonly hasLock?: boolean;
  readonly pings?: boolean;
  readonly losses?: string;
  readonly notes?: boolean;
  readonly isNew?: boolean;
  /** Whether the tab acknowledges what it gets. Default true. */
  readonly reads?: boolean;
}

export interface ScriptedTab {
  readonly port: PortKey;
  readonly name: string;
  readonly welcome: Answer<Welcome> | undefined;
  readonly batches: number;
  /** Everything it was told, in order. */
  readonly events: readonly HostEvent[];
  call(request: TabRequest): { readonly answer: Answer<unknown> | undefined };
  submit(
    name: string,
    submission?: Partial<Submission>,
  ): {
    readonly answer: Answer<TaskSnapshot> | undefined;
    readonly taskId: string;
    readonly promptId: string;
  };
  /** The types of what it was told of a task. */
  heard(taskId?: string): string[];
  taskEvents(taskId?: string): PortTaskEvent[];
}

export const comfy: DeclaredServer = declared("http://comfy.test");

export function declared(url: string, more: Partial<DeclaredServer> = {}): DeclaredServer {
  return { id: url, key: url as ServerKey, url, weight: 1, depth: 4, broadcastTypes: [], ...more };
}

/** A prompt id that says in a test what it is of. */
export const promptIdOf = (name: string): string => {
  const hex = [...name].map((letter) => letter.charCodeAt(0).toString(16)).join("");
  return `00000000-0000-4000-8000-${hex.padEnd(12, "0").slice(0, 12)}`;
};

export interface ScriptedHostOptions {
  /** Shared with a former host, it is what outlived that. Default: an empty one. */
  readonly journal?: JournalModel;
  readonly epoch?: string;
  /** What its lock tells of the host before. Default: dead. */
  readonly formerHost?: "dead" | "alive";
  /** Whose pages have another host. */
  readonly tabsElsewhere?: ReadonlySet<string>;
  /** Whether the journal outlives its host. */
  readonly journalKind?: "memory" | "indexeddb";
}

export function scriptedHost({
  journal = journalModel(),
  epoch = "epoch-1",
  journalKind = "memory",
  formerHost = "dead",
  tabsElsewhere = new Set(),
}: ScriptedHostOptions = {}): ScriptedHost {
  const coordinator = createCoordinator({ epoch, mode: "shared", build: "test", journal: journalKind });
  const watcher = watch(coordinator);
  const effects: Effect[] = [];
  const answers = new Map<number, Answer<unknown>>();
  const tabs = new Map<PortKey, { events: HostEvent[]; batches: number; reads: boolean }>();
  const unanswered = new Map<number, Request>();
  const ordered = new Map<string, number>();
  let held: Fact[] | undefined;
  let holdsClaims = false;
  let lastPort = 0;
  let lastCall = 0;
  let wakeAt: number | undefined;

  function take(fact: Fact): readonly Effect[] {
    const moment = { now: host.now, wall: 1_700_000_000_000 + host.now, random: 0.5 };
    const made = step(coordinator, fact, moment);
    watcher.after(fact, made, moment);
    effects.push(...made);
    const next: Fact[] = [];
    for (const effect of made) obey(effect, next);
    for (const one of next) take(one);
    return made;
  }

  function obey(effect: Effect, next: Fact[]): void {
    switch (effect.do) {
      case "answer":
        answers.set(effect.call, effect.answer);
        return;
      case "post-batch": {
        const tab = tabs.get(effect.port);
        if (!tab) return;
        tab.events.push(...effect.events);
        tab.batches += 1;
        if (tab.reads) next.push({ type: "tab-acknowledged", port: effect.port, batch: effect.batch });
        return;
      }
      case "request-tick":
        next.push({ type: "port-ticked", port: effect.port });
        return;
      case "write-journal": {
        const outcome = journal.write(effect.entry, effect.isNew);
        (held ?? next).push({ type: "journal-written", write: effect.write, outcome });
        return;
      }
      case "probe-host":
        next.push({ type: "host-probed", server: effect.server, dead: formerHost === "dead" });
        return;
      case "probe-tab":
        next.push({ type: "tab-probed", task: effect.task, lives: tabsElsewhere.has(effect.tabId) });
        return;
      case "erase-journal":
        journal.erase(effect.taskIds);
        return;
      case "claim-journal": {
        const entries = journal.claim(effect.tabId, effect.tabSecret);
        (holdsClaims && held ? held : next).push({ type: "journal-claimed", claim: effect.claim, entries });
        return;
      }
      case "claim-overdue":
        next.push({
          type: "journal-claimed",
          claim: effect.claim,
          entries: journal.claimOverdue(effect.before),
        });
        return;
      case "request":
        unanswered.set(effect.request, effect);
        return;
      case "open-socket":
        ordered.set(effect.server, effect.socket);
        return;
      case "wake":
        wakeAt = effect.at;
    }
  }

  const matches = (path: string, wanted: string | RegExp): boolean =>
    typeof wanted === "string" ? path === wanted : wanted.test(path);

  const host: ScriptedHost = {
    coordinator,
    watch: watcher,
    now: 0,
    effects,
    take,
    holdJournal(what = "writes") {
      held = [];
      holdsClaims = what === "all";
    },
    releaseJournal() {
      const answers = held ?? [];
      held = undefined;
      for (const answer of answers) take(answer);
    },
    pass(ms) {
      const until = host.now + ms;
      while (wakeAt !== undefined && wakeAt <= until) {
        host.now = Math.max(host.now, wakeAt);
        wakeAt = undefined;
        take({ type: "time-passed" });
      }
      host.now = until;
    },
    tab(name, { servers = [comfy], tabId = `tab-${name}`, secret = `secret of ${tabId}`, ...more } = {}) {
      lastPort += 1;
      const port = lastPort;
      const state = { events: [] as HostEvent[], batches: 0, reads: more.reads ?? true };
      tabs.set(port, state);
      const call = (make: (call: number) => Fact) => {
        lastCall += 1;
        const own = lastCall;
        take(make(own));
        return {
          get answer() {
            return answers.get(own);
          },
        };
      };
      const hello = call((own) => ({
        type: "tab-said-hello",
        port,
        call: own,
        hello: {
          tabId,
          tabSecret: secret,
          ...(more.isNew ? { isNew: true } : {}),
          ...(more.pings ? { pings: true } : {}),
          windowId: `window_1_${name}`,
          servers,
          tasks: more.tasks ?? [],
          locks: more.locks,
          losses: more.losses,
          notes: more.notes ?? true,
          previews: "newest",
          hasLock: more.hasLock ?? true,
        },
      }));
      const taskEvents = (taskId?: string): PortTaskEvent[] =>
        state.events.flatMap((event) =>
          event.kind === "task" && (taskId === undefined || event.event.taskId === taskId)
            ? [event.event]
            : [],
        );
      return {
        port,
        name,
        events: state.events,
        get batches() {
          return state.batches;
        },
        get welcome() {
          return hello.answer as Answer<Welcome> | undefined;
        },
        call: (request) => call((own) => ({ type: "tab-called", port, call: own, request })),
        submit(task, submission = {}) {
          const taskId = `task-${task}`;
          const promptId = promptIdOf(task);
          const made = call((own) => ({
            type: "tab-called",
            port,
            call: own,
            request: {
              method: "submit",
              submission: { taskId, promptId, ...submission },
              workflow: '{"1":{}}',
            },
          }));
          return {
            taskId,
            promptId,
            get answer() {
              return made.answer as Answer<TaskSnapshot> | undefined;
            },
          };
        },
        heard: (taskId) => taskEvents(taskId).map(({ type }) => type),
        taskEvents,
      };
    },
    openSocket(server = comfy, queueRemaining = 0) {
      const socket = ordered.get(server.key);
      if (socket === undefined) throw new Error(`No socket was ordered to ${server.url}`);
      take({ type: "socket-opened", socket });
      take({ type: "message-received", socket, message: { type: "status", queueRemaining }, bytes: 100 });
    },
    closeSocket(server = comfy) {
      const socket = ordered.get(server.key);
      if (socket === undefined) throw new Error(`No socket was ordered to ${server.url}`);
      take({ type: "socket-closed", socket, code: 1006, clean: false });
    },
    say(...messages) {
      const socket = ordered.get(comfy.key);
      if (socket === undefined) throw new Error("No socket was ordered");
      for (const message of messages) take({ type: "message-received", socket, message, bytes: 200 });
    },
    pending: (path) =>
      [...unanswered.values()].filter((request) => path === undefined || matches(request.path, path)),
    reply(path, answer) {
      const request = host.pending(path)[0];
      if (!request)
        throw new Error(
          `Nobody asked for ${path}; asked: ${host
            .pending()
            .map((one) => one.path)
            .join(", ")}`,
        );
      unanswered.delete(request.request);
      const reply: HttpAnswer =
        "status" in answer || "failure" in answer
          ? (answer as HttpAnswer)
          : { status: 200, text: JSON.stringify(answer) };
      take({ type: "request-answered", request: request.request, answer: reply });
    },
  };
  return host;
}

/** What ComfyUI sends for a prompt that runs one node and shows one output. */
export function runOf(promptId: string, output: Record<string, unknown> = { text: ["1"] }): ServerMessage[] {
  return [
    { type: "execution_start", promptId },
    { type: "execution_cached", promptId, nodeIds: [] },
    { type: "executing", promptId, nodeId: "1", displayNodeId: "1" },
    { type: "executed", promptId, nodeId: "2", displayNodeId: "2", output },
    { type: "execution_success", promptId },
    { type: "status", queueRemaining: 0 },
    { type: "executing", promptId, nodeId: null },
  ];
}

/** ComfyUI's history of one prompt that has ended well. */
export function historyOf(promptId: string, outputs: object, status = "success"): object {
  const messages = status === "success" ? [["execution_success", { prompt_id: promptId, timestamp: 1 }]] : [];
  return {
    [promptId]: {
      prompt: [1, promptId, {}, {}, []],
      outputs,
      status: { status_str: status, completed: status === "success", messages },
      meta: {},
    },
  };
}

/** An answer to `GET /queue`. */
export const queueOf = (running: string[], pending: string[] = []) => ({
  queue_running: running.map((id) => [1, id, {}, {}, []]),
  queue_pending: pending.map((id, place) => [2 + place, id, {}, {}, []]),
});

/** For so long no server has any prompt in its queue or history. */
export function nobodyKnows(host: ScriptedHost, ms: number): void {
  for (const until = host.now + ms; host.now < until; host.pass(500)) {
    while (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
    while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
  }
}
