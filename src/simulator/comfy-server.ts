import { type ComfyVersion, serverAbilities } from "./abilities.ts";
import type { Answer, Request } from "./answers.ts";
import { createCache } from "./cache.ts";
import { createClock } from "./clock.ts";
import { execute, type Outcome } from "./execution.ts";
import { createFileStore } from "./files.ts";
import type { Prompt } from "./graph.ts";
import { createHistory } from "./history.ts";
import type { Hold } from "./holds.ts";
import { createLedger, type PromptEntry, type SimulatorLog } from "./ledger.ts";
import { createFaults, type Exchange, type Fault } from "./misbehaviour.ts";
import { createCatalogue } from "./nodes/catalogue.ts";
import type { NodeType } from "./nodes/node-type.ts";
import type { Deflate } from "./png.ts";
import { createPromptQueue } from "./prompt-queue.ts";
import { createRandom } from "./random.ts";
import { answerRequest } from "./routes.ts";
import type { ServerState } from "./server-state.ts";
import { createSocketTable, type ServerSocket, type Sink } from "./sockets.ts";
import * as wire from "./wire.ts";
import { createWorkerThread } from "./worker-thread.ts";

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
  const entries = new Map<Prompt, PromptEntry>();
  const logSubscribers = new Set<string>();
  const logLines: { t: string; m: string }[] = [];

  let counter = 0;
  let isUp = true;

  const queueRemaining = (): number => queue.pending.length + (worker.running === undefined ? 0 : 1);
  const sockets = createSocketTable({
    clock,
    ledger,
    hasFlags: abilities.metadataPreviews,
    serverFlags: () => wire.serverFlags(abilities),
    queueRemaining,
    runningNode: (clientId) => (worker.running?.clientId === clientId ? worker.runningNode : undefined),
  });
  const worker = createWorkerThread({
    clock,
    queue,
    speed,
    historyDelayMs: options.historyDelayMs ?? 1,
    entryOf: (prompt) => entries.get(prompt)!,
    execute: (prompt, thread) =>
      execute(prompt, {
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
          return thread.isHeldAfter(message);
        },
        wantsMetadata: sockets.wantsMetadata,
        takeInterrupt: thread.takeInterrupt,
        runningNode: thread.runningNode,
      }),
    pickedUp: () => sendStatus(),
    finished,
    crash,
  });
  const sendStatus = (): void => sockets.send(wire.status(queueRemaining()), undefined);

  function writeLog(line: string): void {
    const entry = { t: new Date(clock.now).toISOString().replace("Z", "000"), m: `${line}\n` };
    logLines.push(entry);
    if (logLines.length > 300) logLines.shift();
    for (const clientId of logSubscribers) sockets.send(wire.logs([entry], null), clientId);
  }

  function forget(prompt: Prompt, reason: NonNullable<PromptEntry["removed"]>): void {
    const entry = entries.get(prompt);
    if (entry !== undefined) entry.removed = reason;
    entries.delete(prompt);
  }

  function finished(prompt: Prompt, entry: PromptEntry, outcome: Outcome): void {
    entries.delete(prompt);
    history.put({ ...outcome, prompt, succeeded: outcome.ending === "success" });
    sendStatus();
    if (prompt.clientId !== undefined) sockets.send(wire.executing(prompt.promptId, null), prompt.clientId);
    const seconds = (clock.now - (entry.startedAt ?? clock.now)) / 1000;
    writeLog(`Prompt executed in ${seconds.toFixed(2)} seconds`);
  }

  function stop(): void {
    worker.stop();
    for (const prompt of [...entries.keys()]) forget(prompt, "restarted");
    queue.clear();
    history.clear();
    cache.clear();
    files.clear("temp");
    logSubscribers.clear();
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
      return worker.running;
    },
    queueRemaining,
    takeNumber: () => counter++,
    enqueue(prompt: Prompt) {
      const entry: PromptEntry = {
        promptId: prompt.promptId,
        askedId: prompt.askedId,
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
        worker.wakeUp();
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
    interrupt: worker.interrupt,
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
    hold: worker.hold,
    release: worker.release,
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
