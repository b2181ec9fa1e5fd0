import type { Clock } from "./clock.ts";
import type { Ledger } from "./ledger.ts";
import { type Frame, featureFlags, type Outgoing, replayedExecuting, status } from "./wire.ts";

/** Where the frames of one socket go. */
export interface Sink {
  frame(frame: Frame): void;
  /** The server ends it: 1009 for a frame that is too large, 1006 for a cut without a goodbye. */
  closed(code: number): void;
  /** Whether it takes no more for now. The publisher then waits, and with it everybody (ComfyUI server.py). */
  isFull?(): boolean;
}

/** One WebSocket, seen from the server. */
export interface ServerSocket {
  readonly id: number;
  readonly clientId: string;
  readonly isOpen: boolean;
  /** Whether it hears anything: another one with its client id may have replaced or unregistered it. */
  readonly isRegistered: boolean;
  receive(frame: Frame): void;
  /** The client's end, in whatever way it came about. */
  close(): void;
}

const largestFrame = 4 * 1024 * 1024;

export interface SocketTable {
  readonly sockets: readonly ServerSocket[];
  open(clientId: string, sink: Sink): ServerSocket;
  /** @param to a client id; undefined: everybody */
  send(message: Outgoing, to: unknown): void;
  /** Whether the socket registered for this client has asked for previews with metadata. */
  wantsMetadata(clientId: unknown): boolean;
  /** Takes a client's registration away and leaves its socket open: it is deaf from now on. */
  deafen(clientId?: string): void;
  /** Ends sockets without a goodbye. */
  cut(clientId?: string): void;
  /** Nothing is published until it is resumed. */
  stall(): void;
  resume(): void;
  /** A sink that was full has room again. */
  wake(): void;
  /** The process ends: all sockets are cut, what waits for the publisher is gone. */
  reset(): void;
}

interface Environment {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly hasFlags: boolean;
  serverFlags(): object;
  queueRemaining(): number;
  /** The node that runs now, if its prompt is this client's. */
  runningNode(clientId: string): string | undefined;
}

/**
 * The table of sockets with ComfyUI's defect (server.py, `websocket_handler`): one socket per client id, and
 * whichever socket of a client id ends takes the registration with it, also if it is another's.
 */
export function createSocketTable(environment: Environment): SocketTable {
  const { clock, ledger } = environment;
  type Entry = { socket: ServerSocket; sink: Sink; flags: Record<string, unknown> };
  const registered = new Map<string, Entry>();
  const open = new Set<Entry>();
  const outbox: { message: Outgoing; to: unknown }[] = [];
  let stalled = false;
  let publishing = false;
  let lastId = 0;

  function deliver(entry: Entry, message: Outgoing): void {
    if (!open.has(entry)) return;
    ledger.frameSent(clock.now, entry.socket, message);
    entry.sink.frame(message.encode());
  }

  function publish(): void {
    publishing = false;
    let sent = 0;
    for (const { message, to } of outbox) {
      if (stalled) break;
      const entries = to === undefined ? [...registered.values()] : [registered.get(to as string)];
      if (entries.some((entry) => entry?.sink.isFull?.() === true)) break;
      sent += 1;
      for (const entry of entries) if (entry !== undefined) deliver(entry, message);
    }
    outbox.splice(0, sent);
  }

  function schedule(): void {
    if (publishing || stalled || outbox.length === 0) return;
    publishing = true;
    clock.after(0, publish);
  }

  function end(entry: Entry): boolean {
    if (!open.delete(entry)) return false;
    registered.delete(entry.socket.clientId);
    ledger.socketClosed(clock.now, entry.socket);
    // If it was full, the publisher has waited for it.
    schedule();
    return true;
  }

  function receiveFirst(entry: Entry, frame: string): boolean {
    let message: unknown;
    try {
      message = JSON.parse(frame);
    } catch {
      return false;
    }
    if (typeof message !== "object" || message === null || Array.isArray(message)) return false;
    const { type, data } = message as { type?: unknown; data?: unknown };
    if (type !== "feature_flags" || !environment.hasFlags) return true;
    const current = registered.get(entry.socket.clientId);
    // Python's KeyError leaves it the first frame.
    if (current === undefined) return false;
    current.flags = (data ?? {}) as Record<string, unknown>;
    deliver(current, featureFlags(environment.serverFlags()));
    return true;
  }

  function cut(clientId?: string): void {
    for (const entry of [...open])
      if ((clientId === undefined || entry.socket.clientId === clientId) && end(entry))
        entry.sink.closed(1006);
  }

  return {
    get sockets() {
      return [...open].map((entry) => entry.socket);
    },
    open(clientId, sink) {
      let isFirst = true;
      const id = ++lastId;
      const socket: ServerSocket = {
        id,
        clientId,
        get isOpen() {
          return open.has(entry);
        },
        get isRegistered() {
          return registered.get(clientId) === entry;
        },
        receive(frame) {
          if (!open.has(entry)) return;
          if (frame.length > largestFrame) {
            if (end(entry)) sink.closed(1009);
          } else if (isFirst && typeof frame === "string" && receiveFirst(entry, frame)) isFirst = false;
        },
        close: () => {
          end(entry);
        },
      };
      const entry: Entry = { socket, sink, flags: {} };
      open.add(entry);
      registered.set(clientId, entry);
      ledger.socketOpened(clock.now, socket);
      deliver(entry, status(environment.queueRemaining(), clientId));
      const nodeId = environment.runningNode(clientId);
      if (nodeId !== undefined) deliver(entry, replayedExecuting(nodeId));
      return socket;
    },
    send(message, to) {
      outbox.push({ message, to });
      schedule();
    },
    wantsMetadata: (clientId) => registered.get(clientId as string)?.flags.supports_preview_metadata === true,
    deafen(clientId) {
      if (clientId === undefined) registered.clear();
      else registered.delete(clientId);
    },
    cut,
    stall: () => {
      stalled = true;
    },
    resume: () => {
      stalled = false;
      schedule();
    },
    wake: schedule,
    reset() {
      outbox.length = 0;
      stalled = false;
      registered.clear();
      cut();
    },
  };
}
