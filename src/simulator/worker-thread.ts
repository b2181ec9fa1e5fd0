import type { Clock } from "./clock.ts";
import type { Outcome } from "./execution.ts";
import { FatalGraph, type Prompt } from "./graph.ts";
import { createHolds, type Hold } from "./holds.ts";
import type { PromptEntry } from "./ledger.ts";
import type { Pause } from "./nodes/node-type.ts";
import type { PromptQueue } from "./prompt-queue.ts";
import type { Outgoing } from "./wire.ts";

/** ComfyUI's one worker thread (main.py, `prompt_worker`): it runs one prompt after the other. */
export interface WorkerThread {
  readonly running: Prompt | undefined;
  readonly runningNode: string | undefined;
  /** Something was queued. */
  wakeUp(): void;
  /** What runs looks for this at its next update or node; it is forgotten when the next prompt starts. */
  interrupt(): void;
  /** Stops a prompt at a place in its run until it is released. */
  hold(hold: Hold): void;
  release(promptId?: string): void;
  /** The process ends. */
  stop(): void;
}

/** What a run sees of the thread that it is in. */
interface Thread {
  isHeldAfter(message: Outgoing): boolean;
  takeInterrupt(): boolean;
  runningNode(nodeId: string | undefined): void;
}

interface Environment {
  readonly clock: Clock;
  readonly queue: PromptQueue;
  readonly speed: number;
  readonly historyDelayMs: number;
  entryOf(prompt: Prompt): PromptEntry;
  execute(prompt: Prompt, thread: Thread): Generator<Pause, Outcome>;
  pickedUp(): void;
  finished(prompt: Prompt, entry: PromptEntry, outcome: Outcome): void;
  /** The process ends by itself. */
  crash(): void;
}

export function createWorkerThread(environment: Environment): WorkerThread {
  const { clock, queue } = environment;
  const holds = createHolds();
  let running: Prompt | undefined;
  let runningNode: string | undefined;
  let interrupted = false;
  let cancelPickUp: (() => void) | undefined;
  let cancelStep: (() => void) | undefined;
  /** What goes on when the hold is lifted. */
  let held: { readonly promptId: string; readonly goOn: () => void } | undefined;

  function wakeUp(): void {
    if (running !== undefined || cancelPickUp !== undefined || queue.pending.length === 0) return;
    cancelPickUp = clock.after(1, pickUp);
  }

  function pickUp(): void {
    cancelPickUp = undefined;
    const prompt = queue.pop();
    if (prompt === undefined) return;
    running = prompt;
    environment.pickedUp();
    const start = (): void => {
      const entry = environment.entryOf(prompt);
      entry.startedAt = clock.now;
      // Python cannot look a dict up in a dict: the publisher dies at the first message to this client, and
      // the process with it (server.py). What was sent before still goes out.
      if (typeof prompt.clientId === "object" && prompt.clientId !== null)
        cancelStep = clock.after(0, environment.crash);
      else run(prompt, entry);
    };
    if (holds.matches(prompt.promptId, "queued", undefined))
      held = { promptId: prompt.promptId, goOn: start };
    else start();
  }

  function run(prompt: Prompt, entry: PromptEntry): void {
    const steps = environment.execute(prompt, {
      isHeldAfter: ({ type, nodeId }) => holds.matches(prompt.promptId, type, nodeId),
      takeInterrupt() {
        const was = interrupted;
        interrupted = false;
        return was;
      },
      runningNode(nodeId) {
        runningNode = nodeId;
      },
    });
    const step = (): void => {
      cancelStep = undefined;
      let next: IteratorResult<Pause, Outcome>;
      try {
        for (next = steps.next(); next.value === 0; next = steps.next());
      } catch (error) {
        if (!(error instanceof FatalGraph)) throw error;
        // The worker thread is gone: this prompt runs for ever, and what waits behind it waits for ever.
        entry.removed = "stuck";
        return;
      }
      if (next.done) {
        const outcome = next.value;
        runningNode = undefined;
        cancelStep = clock.after(environment.historyDelayMs, () => finish(prompt, entry, outcome));
      } else if (next.value === "held") held = { promptId: prompt.promptId, goOn: step };
      else cancelStep = clock.after(next.value / environment.speed, step);
    };
    step();
  }

  function finish(prompt: Prompt, entry: PromptEntry, outcome: Outcome): void {
    cancelStep = undefined;
    running = undefined;
    entry.endedAt = clock.now;
    entry.ending = outcome.ending;
    environment.finished(prompt, entry, outcome);
    wakeUp();
  }

  return {
    get running() {
      return running;
    },
    get runningNode() {
      return runningNode;
    },
    wakeUp,
    interrupt() {
      interrupted = true;
    },
    hold: holds.add,
    release(promptId) {
      holds.remove(promptId);
      if (held === undefined || (promptId !== undefined && held.promptId !== promptId)) return;
      const { goOn } = held;
      held = undefined;
      cancelStep = clock.after(0, goOn);
    },
    stop() {
      cancelPickUp?.();
      cancelStep?.();
      cancelPickUp = undefined;
      cancelStep = undefined;
      held = undefined;
      running = undefined;
      runningNode = undefined;
      interrupted = false;
    },
  };
}
