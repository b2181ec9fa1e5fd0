import { decodeMessage } from "../../comfy/decode.ts";
import type { Fact, SocketKey } from "../../core/facts.ts";

/** The part of a `WebSocket` that is used. */
export interface SocketLike {
  binaryType: string;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(text: string): void;
  close(): void;
}

export type OpenSocket = (url: string) => SocketLike;

/** Frames beyond this are not decoded: nothing that ComfyUI sends is near it. */
const frameLimitBytes = 64 * 1024 * 1024;

export interface Sockets {
  open(key: SocketKey, url: string): void;
  send(key: SocketKey, text: string): void;
  close(key: SocketKey): void;
  closeAll(): void;
}

/** WebSockets by key. What one says becomes a fact in the same task: the worker never makes ComfyUI wait. */
export function createSockets(openSocket: OpenSocket, tell: (fact: Fact) => void): Sockets {
  const live = new Map<SocketKey, SocketLike>();

  function closed(socket: SocketKey, code: number, clean: boolean): void {
    live.delete(socket);
    tell({ type: "socket-closed", socket, code, clean });
  }

  return {
    open(key, url) {
      let socket: SocketLike;
      try {
        socket = openSocket(url);
      } catch {
        // Refused before it began: mixed content, a blocked port. It has to look like any other failure.
        setTimeout(() => closed(key, 1006, false));
        return;
      }
      live.set(key, socket);
      // Blobs would be read asynchronously, and overtake each other.
      socket.binaryType = "arraybuffer";
      socket.onopen = () => tell({ type: "socket-opened", socket: key });
      socket.onmessage = ({ data }: MessageEvent<string | ArrayBuffer>) => {
        const bytes = typeof data === "string" ? data.length : data.byteLength;
        const message =
          bytes > frameLimitBytes
            ? ({ type: "malformed", reason: `a frame of ${bytes} bytes` } as const)
            : decodeMessage(data);
        tell({ type: "message-received", socket: key, message, bytes });
      };
      socket.onclose = ({ code, wasClean }) => closed(key, code, wasClean);
    },
    send(key, text) {
      live.get(key)?.send(text);
    },
    close,
    closeAll() {
      for (const key of live.keys()) close(key);
    },
  };

  function close(key: SocketKey): void {
    const socket = live.get(key);
    live.delete(key);
    if (!socket) return;
    // A half-open socket may take a minute to close; nobody listens that long.
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
