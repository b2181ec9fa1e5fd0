import { type ComfyVersion, serverAbilities } from "./abilities.ts";
import type { Answer, Request } from "./answers.ts";
import { createCache } from "./cache.ts";
import { createClock } from "./clock.ts";
import { execute } from "./execution.ts";
import { createFileStore } from "./files.ts";
import { FatalGraph, type Prompt } from "./graph.ts";
import { createHistory } from "./history.ts";
import { createHolds, type Hold } from "./holds.ts";
import { createLedger, type PromptEntry, type SimulatorLog } from "./ledger.ts";
import { createFaults, type Exchange, type Fault } from "./misbehaviour.ts";
import { createCatalogue } from "./nodes/catalogue.ts";
import type { NodeType, Pause } from "./nodes/node-type.ts";
import type { Deflate } from "./png.ts";
import { createPromptQueue } from "./prompt-queue.ts";
import { createRandom } from "./random.ts";
import { answerRequest } from "./routes.ts";
import type { ServerState } from "./server-state.ts";
import { createSocketTable, type ServerSocket, type Sink } from "./sockets.ts";
import * as wire from "./wire.ts";

/** How a simulated ComfyUI is set up. */
export interface ComfyServerOptions {
  /** Which ComfyUI it behaves like. @default "0.33.0" */
  readonly version?: ComfyVersion;
  /** How much faster than real nodes run: 10 makes a node of a second take 100 ms. @default 1 */
  readonly speed?: number;
  /** All ids and pictures follow from it. @default 1 */
  readonly seed?: number;
  /** The time at which its clock starts, in epoch milliseconds. */
  readonly startAt?: number;
  /** Whether samplers show previews, as with `--preview-method auto`. @default true */
  readonly samplerPreviews?: boolean;
  /** Further classes of nodes; one with a known name replaces that class. */
  readonly nodes?: readonly NodeType[];
  /** How many frames and requests the log keeps one by one; it counts all. @default 20000 */
  readonly keepFrames?: number;
  /** Compresses PNGs; without it they are stored. */
  readonly deflate?: Deflate;
  /** The time between a prompt's last message and its entry in the history. @default 1 */
  readonly historyDelayMs?: number;
}

/**
 * A ComfyUI without a network and without a clock of its own. Nothing happens in it but by its methods, and
 * the same calls at the same times have the same outcome.
 */
export interface ComfyServer {
  readonly version: ComfyVersion;
  readonly now: number;
  /** When something will happen by itself; undefined: nothing will. Somebody must then call `advanceTo`. */
  readonly nextAt: number | undefined;
  advanceTo(at: number): void;
  advance(ms: number): void;
  /** Advances until nothing is left to happen, at most to a time. @returns whether all is still */
  settle(atMost?: number): boolean;
  /** A client opens `/ws?clientId=`. The first frames come at once. @param clientId empty: the server makes one */
  connect(clientId: string, sink: Sink): ServerSocket;
  /** Answers at once, whatever {@link ComfyServer.faults} says. */
  request(method: string, target: string, body?: Request["body"]): Answer;
  /** A request as the network brings it: faults may delay, lose, double or falsify it. */
  exchange(request: Request, reply: (outcome: Exchange) => void): void;
  /** Faults of the network and of what stands before the server; see {@link Fault}. */
  readonly faults: { readonly list: readonly Fault[]; add(...faults: readonly Fault[]): void; clear(): void };
  /** Stops prompts at a place in their run until they are released. */
  hold(hold: Hold): void;
  release(promptId?: string): void;
  /** Sends a message as a custom node would. @param to a client id; absent: everybody */
  emit(type: string, data: Readonly<Record<string, unknown>>, to?: string): void;
  readonly sockets: readonly ServerSocket[];
  /** Unregisters a client's socket, or all, and leaves them open. */
  deafen(clientId?: string): void;
  /** Ends a client's sockets, or all, without a goodbye: they see 1006. */
  cutSockets(clientId?: string): void;
  /** Frames are produced but not published: HTTP goes on. */
  stallPublisher(): void;
  resumePublisher(): void;
  /** A sink that was full has room again. */
  wake(): void;
  /** The process ends and starts again: queue, history, counter, cache and sockets are gone, outputs stay. */
  restart(): void;
  /** False after a prompt has killed the process, until `restart`. */
  readonly isUp: boolean;
  readonly log: SimulatorLog;
}

export function createComfyServer(options: ComfyServerOptions = {}): ComfyServer {
  const version = options.version ?? "0.33.0";
  const speed = options.speed ?? 1;
  const abilities = serverAbilities(version);
  const clock = createClock(options.startAt ?? Date.UTC(2026, 0, 1));
  const random = createRandom(options.seed ?? 1);
  const ledger = createLedger(options.keepFrames ?? 20_000);
  const catalogue = createCatalogue(options.nodes);
  const [files, cache, queue, history] = [
    createFileStore(),
    createCache(),
    createPromptQueue(),
    createHistory(),
  ];
  const holds = createHolds();
  const entries = new Map<Prompt, PromptEntry>();
  const logSubscribers = new Set<string>();
  const logLines: { t: string; m: string }[] = [];

  let counter = 0;
  let running: Prompt | undefined;
  let runningNode: string | undefined;
  let interrupted = false;
  let isUp = true;
  let cancelPickUp: (() => void) | undefined;
  let cancelStep: (() => void) | undefined;
  /** What goes on when the hold is lifted. */
  let held: { readonly promptId: string; readonly goOn: () => void } | undefined;

  const queueRemaining = (): number => queue.pending.length + (running === undefined ? 0 : 1);
  const sockets = createSocketTable({
    clock,
    ledger,
    hasFlags: abilities.metadataPreviews,
    serverFlags: () => wire.serverFlags(abilities),
    queueRemaining,
    runningNode: (clientId) => (running?.clientId === clientId ? runningNode : undefined),
  });
  const sendStatus = (): void => sockets.send(wire.status(queueRemaining()), undefined);

  function writeLog(line: string): void {
    const entry = { t: new Date(clock.now).toISOString().replace("Z", "000"), m: `${line}\n` };
    logLines.push(entry);
    if (logLines.length > 300) logLines.shift();
    for (const clientId of logSubscribers) sockets.send(wire.logs([entry], null), clientId);
  }

  function pickUpSoon(): void {
    if (running !== undefined || cancelPickUp !== undefined || queue.pending.length === 0) return;
    cancelPickUp = clock.after(1, pickUp);
  }

  function pickUp(): void {
    cancelPickUp = undefined;
    const prompt = queue.pop();
    if (prompt === undefined) return;
    running = prompt;
    sendStatus();
    const start = (): void => {
      const entry = entries.get(prompt)!;
      entry.startedAt = clock.now;
      // Python cannot look a dict up in a dict: the publisher dies at the first message to this client, and
      // the process with it (server.py). What was sent before still goes out.
      if (typeof prompt.clientId === "object" && prompt.clientId !== null) cancelStep = clock.after(0, crash);
      else run(prompt, entry);
    };
    if (holds.matches(prompt.promptId, "queued", undefined))
      held = { promptId: prompt.promptId, goOn: start };
    else start();
  }

  function run(prompt: Prompt, entry: PromptEntry): void {
    const steps = execute(prompt, {
      abilities,
      catalogue,
      files,
      cache,
      random,
      deflate: options.deflate,
      samplerPreviews: options.samplerPreviews ?? true,
      now: () => Math.floor(clock.now),
      send: (message, to) => {
        sockets.send(message, to);
        return holds.matches(prompt.promptId, message.type, message.nodeId);
      },
      wantsMetadata: sockets.wantsMetadata,
      takeInterrupt: () => {
        const was = interrupted;
        interrupted = false;
        return was;
      },
      runningNode: (nodeId) => {
        runningNode = nodeId;
      },
    });
    const step = (): void => {
      cancelStep = undefined;
      let next: IteratorResult<Pause, { ending: "success" | "error" | "interrupted" }>;
      try {
        for (next = steps.next(); next.value === 0; next = steps.next());
      } catch (error) {
        if (!(error instanceof FatalGraph)) throw error;
        // The worker thread is gone: this prompt runs for ever, and what waits behind it waits for ever.
        entry.removed = "stuck";
        return;
      }
      if (next.done) {
        const outcome = next.value as ReturnType<typeof steps.return> extends IteratorResult<unknown, infer T>
          ? T
          : never;
        runningNode = undefined;
        cancelStep = clock.after(options.historyDelayMs ?? 1, () => finish(prompt, entry, outcome));
      } else if (next.value === "held") held = { promptId: prompt.promptId, goOn: step };
      else cancelStep = clock.after((next.value as number) / speed, step);
    };
    step();
  }

  function finish(
    prompt: Prompt,
    entry: PromptEntry,
    outcome: { ending: "success" | "error" | "interrupted" } & Pick<
      Parameters<typeof history.put>[0],
      "outputs" | "messages"
    >,
  ): void {
    cancelStep = undefined;
    running = undefined;
    interrupted = false;
    entry.endedAt = clock.now;
    entry.ending = outcome.ending;
    entries.delete(prompt);
    history.put({ ...outcome, prompt, succeeded: outcome.ending === "success" });
    sendStatus();
    if (prompt.clientId !== undefined) sockets.send(wire.executing(prompt.promptId, null), prompt.clientId);
    writeLog(
      `Prompt executed in ${((clock.now - (entry.startedAt ?? clock.now)) / 1000).toFixed(2)} seconds`,
    );
    pickUpSoon();
  }

  function forget(prompt: Prompt, reason: NonNullable<PromptEntry["removed"]>): void {
    const entry = entries.get(prompt);
    if (entry !== undefined) entry.removed = reason;
    entries.delete(prompt);
  }

  function stop(): void {
    cancelPickUp?.();
    cancelStep?.();
    cancelPickUp = undefined;
    cancelStep = undefined;
    held = undefined;
    for (const prompt of [...entries.keys()]) forget(prompt, "restarted");
    queue.clear();
    history.clear();
    cache.clear();
    files.clear("temp");
    logSubscribers.clear();
    running = undefined;
    runningNode = undefined;
    interrupted = false;
    counter = 0;
    sockets.reset();
  }

  function crash(): void {
    isUp = false;
    stop();
  }

  const state: ServerState = {
    abilities,
    version,
    catalogue,
    files,
    history,
    random,
    get now() {
      return clock.now;
    },
    get pending() {
      return queue.pending;
    },
    get running() {
      return running;
    },
    queueRemaining,
    takeNumber: () => counter++,
    enqueue(prompt: Prompt) {
      const entry: PromptEntry = {
        promptId: prompt.promptId,
        clientId: prompt.clientId,
        number: prompt.number,
        acceptedAt: clock.now,
      };
      ledger.prompt(entry);
      entries.set(prompt, entry);
      writeLog("got prompt");
      try {
        queue.push(prompt);
        sendStatus();
      } finally {
        pickUpSoon();
      }
    },
    dequeue(promptId: string, reason: "deleted" | "cancelled") {
      const prompt = queue.remove(promptId);
      if (prompt === undefined) return false;
      forget(prompt, reason);
      // The last one is taken out by clearing the queue, which tells it too (execution.py, `delete_queue_item`).
      if (queue.pending.length === 0) sendStatus();
      sendStatus();
      return true;
    },
    clearQueue() {
      for (const prompt of queue.clear()) forget(prompt, "cleared");
      sendStatus();
    },
    interrupt: () => {
      interrupted = true;
    },
    freeMemory: () => cache.clear(),
    logLines,
    subscribeToLogs(clientId: string, enabled: boolean) {
      if (enabled) logSubscribers.add(clientId);
      else logSubscribers.delete(clientId);
    },
  };

  const faults = createFaults(clock, (request) => {
    if (!isUp) return undefined;
    const answer = answerRequest(request, state);
    ledger.requested({
      at: clock.now,
      method: request.method,
      target: request.target,
      status: answer.status,
    });
    return answer;
  });

  return {
    version,
    get now() {
      return clock.now;
    },
    get nextAt() {
      return clock.nextAt;
    },
    advanceTo: clock.advanceTo,
    advance: (ms) => clock.advanceTo(clock.now + ms),
    settle(atMost = Number.POSITIVE_INFINITY) {
      for (let at = clock.nextAt; at !== undefined && at <= atMost; at = clock.nextAt) clock.advanceTo(at);
      return clock.nextAt === undefined;
    },
    connect: (clientId, sink) => sockets.open(clientId === "" ? random.hex(32) : clientId, sink),
    request: (method, target, body) => answerRequest({ method, target, body }, state),
    exchange: faults.exchange,
    faults,
    hold: holds.add,
    release(promptId) {
      holds.remove(promptId);
      if (held === undefined || (promptId !== undefined && held.promptId !== promptId)) return;
      const { goOn } = held;
      held = undefined;
      cancelStep = clock.after(0, goOn);
    },
    emit: (type, data, to) => sockets.send(wire.custom(type, data), to),
    get sockets() {
      return sockets.sockets;
    },
    deafen: sockets.deafen,
    cutSockets: sockets.cut,
    stallPublisher: sockets.stall,
    resumePublisher: sockets.resume,
    wake: sockets.wake,
    restart() {
      stop();
      isUp = true;
      ledger.restarted();
    },
    get isUp() {
      return isUp;
    },
    log: ledger,
  };
}
