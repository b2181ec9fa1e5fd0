import { WebSocket } from "ws";
import type { JsonObject } from "../../comfy/messages.ts";
import { deadlineMs } from "./server-under-test.ts";

/** What a socket heard. Binary frames have the kind `bin:<type>`. */
export interface Heard {
  readonly kind: string;
  readonly data: JsonObject;
  /** Of a binary frame: all of it. */
  readonly bytes: Buffer;
}

/** A socket to the server under test, which keeps what it hears. */
export interface Connection {
  readonly clientId: string;
  readonly frames: readonly Heard[];
  /** The first frame that fits, of those heard and those to come. @throws when none comes in time */
  frame(fits: (frame: Heard) => boolean): Promise<Heard>;
  /** As many frames that fit. */
  count(wanted: number, fits: (frame: Heard) => boolean): Promise<readonly Heard[]>;
  /** When the prompt is over and its history written. */
  ended(promptId: string): Promise<void>;
  /** Resolves when all is heard that the server had sent by now: it answers a ping after that. */
  heardAll(): Promise<void>;
  sayFlags(value?: unknown): void;
  send(text: string): void;
  /** The code with which the server ends it. */
  readonly closed: Promise<number>;
  close(): Promise<void>;
}

export async function openConnection(url: string, clientId: string): Promise<Connection> {
  const query = clientId === "" ? "" : `?clientId=${encodeURIComponent(clientId)}`;
  const socket = new WebSocket(`${url.replace(/^http/, "ws")}/ws${query}`);
  const frames: Heard[] = [];
  let waiting: (() => void)[] = [];
  socket.on("message", (message: Buffer, isBinary) => {
    frames.push(isBinary ? binary(message) : text(message));
    for (const look of waiting) look();
  });
  const closed = new Promise<number>((resolve) => socket.once("close", resolve));
  await inTime(
    new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    }),
    () => "the socket does not open",
  );

  async function count(wanted: number, fits: (frame: Heard) => boolean): Promise<readonly Heard[]> {
    let stopLooking = (): void => {};
    const found = new Promise<readonly Heard[]>((resolve) => {
      const look = (): void => {
        const fitting = frames.filter(fits);
        if (fitting.length >= wanted) resolve(fitting);
      };
      waiting.push(look);
      stopLooking = () => {
        waiting = waiting.filter((other) => other !== look);
      };
      look();
    });
    return inTime(found, () => `not heard; heard were ${words(frames.slice(-40)).join(", ")}`).finally(
      stopLooking,
    );
  }
  const frame = async (fits: (frame: Heard) => boolean): Promise<Heard> => (await count(1, fits))[0]!;

  const connection: Connection = {
    clientId,
    frames,
    frame,
    count,
    async ended(promptId) {
      await frame(
        ({ kind, data }) => kind === "executing" && data.node === null && data.prompt_id === promptId,
      );
    },
    heardAll: () =>
      inTime(
        new Promise((resolve) => {
          socket.once("pong", () => resolve());
          socket.ping();
        }),
        () => "no answer to a ping",
      ),
    sayFlags: (value = true) =>
      socket.send(JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: value } })),
    send: (given) => socket.send(given),
    closed,
    async close() {
      socket.close();
      await inTime(closed, () => "the socket does not close");
    },
  };
  await frame(({ kind }) => kind === "status");
  return connection;
}

function text(message: Buffer): Heard {
  const { type, data } = JSON.parse(message.toString("utf8")) as { type: string; data: JsonObject };
  return { kind: type, data, bytes: message };
}

/** Layouts of ComfyUI's server.py: big-endian numbers first. */
function binary(bytes: Buffer): Heard {
  const [type, second] = [bytes.readUInt32BE(0), bytes.readUInt32BE(4)];
  const kind = `bin:${type}`;
  if (type === 1) return { kind, data: { format: second, image: bytes.subarray(8) }, bytes };
  const [head, rest] = [bytes.subarray(8, 8 + second), bytes.subarray(8 + second)];
  if (type === 3) return { kind, data: { node: head.toString(), text: rest.toString() }, bytes };
  return { kind, data: { metadata: JSON.parse(head.toString()) as JsonObject, image: rest }, bytes };
}

/** Frames in short: the kind, and the node where it says what the frame is about. */
export const words = (frames: readonly Heard[]): string[] =>
  frames.map(({ kind, data }) =>
    kind === "executing" || kind === "executed" ? `${kind} ${data.node}` : kind,
  );

async function inTime<T>(fact: Promise<T>, otherwise: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(otherwise())), deadlineMs);
  });
  return Promise.race([fact, late]).finally(() => clearTimeout(timer));
}
