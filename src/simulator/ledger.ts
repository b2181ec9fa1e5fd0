import type { ServerSocket } from "./sockets.ts";
import type { Outgoing } from "./wire.ts";

export type Ending = "success" | "error" | "interrupted";

/** One accepted `POST /prompt`. The same prompt id may stand in several: ComfyUI runs each. */
export interface PromptEntry {
  readonly promptId: string;
  /** The id that the client chose: before 0.3.45 the server takes another one. */
  readonly askedId: string | undefined;
  readonly clientId: unknown;
  readonly number: number;
  readonly acceptedAt: number;
  startedAt?: number;
  endedAt?: number;
  ending?: Ending;
  /** How it left the queue without having run, or was lost while it ran. */
  removed?: "deleted" | "cleared" | "cancelled" | "restarted" | "stuck";
}

export interface SocketEntry {
  readonly id: number;
  readonly clientId: string;
  readonly openedAt: number;
  closedAt?: number;
  /** How many frames of each type it got. */
  readonly frames: Record<string, number>;
  /** How many frames it got of each prompt. */
  readonly framesByPrompt: Record<string, number>;
}

export interface FrameEntry {
  readonly at: number;
  readonly socketId: number;
  readonly clientId: string;
  readonly type: string;
  readonly promptId: string | undefined;
}

export interface RequestEntry {
  readonly at: number;
  readonly method: string;
  readonly target: string;
  readonly status: number;
}

/** What happened, written by the server itself: the truth that tests compare their clients with. */
export interface SimulatorLog {
  readonly prompts: readonly PromptEntry[];
  readonly sockets: readonly SocketEntry[];
  /** The newest frames, as many as `keepFrames` says. */
  readonly frames: readonly FrameEntry[];
  readonly requests: readonly RequestEntry[];
  readonly framesSent: number;
  readonly restarts: number;
  /** How often prompts with this id have begun to run. */
  runsOf(promptId: string): number;
}

export interface Ledger extends SimulatorLog {
  prompt(entry: PromptEntry): void;
  requested(entry: RequestEntry): void;
  socketOpened(at: number, socket: ServerSocket): void;
  socketClosed(at: number, socket: ServerSocket): void;
  frameSent(at: number, socket: ServerSocket, message: Outgoing): void;
  restarted(): void;
}

/** @param keepFrames how many frames and requests are kept one by one; all are counted */
export function createLedger(keepFrames: number): Ledger {
  const prompts: PromptEntry[] = [];
  const sockets = new Map<number, SocketEntry>();
  const frames: FrameEntry[] = [];
  const requests: RequestEntry[] = [];
  let [framesSent, restarts] = [0, 0];
  const trim = (list: unknown[]): void => {
    if (list.length > keepFrames * 2) list.splice(0, list.length - keepFrames);
  };
  return {
    prompts,
    get sockets() {
      return [...sockets.values()];
    },
    frames,
    requests,
    get framesSent() {
      return framesSent;
    },
    get restarts() {
      return restarts;
    },
    runsOf: (promptId) =>
      prompts.filter((entry) => entry.promptId === promptId && entry.startedAt !== undefined).length,
    prompt: (entry) => {
      prompts.push(entry);
    },
    requested(entry) {
      if (keepFrames === 0) return;
      requests.push(entry);
      trim(requests);
    },
    socketOpened(at, { id, clientId }) {
      sockets.set(id, { id, clientId, openedAt: at, frames: {}, framesByPrompt: {} });
    },
    socketClosed(at, { id }) {
      const entry = sockets.get(id);
      if (entry !== undefined) entry.closedAt = at;
    },
    frameSent(at, socket, { type, promptId }) {
      framesSent += 1;
      const entry = sockets.get(socket.id);
      if (entry !== undefined) {
        entry.frames[type] = (entry.frames[type] ?? 0) + 1;
        if (promptId !== undefined)
          entry.framesByPrompt[promptId] = (entry.framesByPrompt[promptId] ?? 0) + 1;
      }
      if (keepFrames === 0) return;
      frames.push({ at, socketId: socket.id, clientId: socket.clientId, type, promptId });
      trim(frames);
    },
    restarted: () => {
      restarts += 1;
    },
  };
}
