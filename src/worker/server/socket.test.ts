import { describe, expect, test } from "vitest";
import type { Fact } from "../../core/facts.ts";
import { createSockets, type SocketLike } from "./socket.ts";

class FakeSocket implements SocketLike {
  binaryType = "blob";
  onopen: SocketLike["onopen"] = null;
  onmessage: SocketLike["onmessage"] = null;
  onclose: SocketLike["onclose"] = null;
  readonly sent: string[] = [];
  closed = 0;
  readonly url: string;

  constructor(url: string) {
    this.url = url;
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.closed += 1;
  }

  receive(data: unknown): void {
    this.onmessage?.({ data } as MessageEvent);
  }
}

function opened() {
  const facts: Fact[] = [];
  const made: FakeSocket[] = [];
  const sockets = createSockets(
    (url) => {
      const socket = new FakeSocket(url);
      made.push(socket);
      return socket;
    },
    (fact) => facts.push(fact),
  );
  sockets.open(1, "ws://comfy.test/ws?clientId=c");
  return { facts, sockets, socket: made[0] as FakeSocket };
}

describe("a socket", () => {
  test("tells what happens to it", () => {
    const { facts, sockets, socket } = opened();
    expect(socket.binaryType).toBe("arraybuffer");
    socket.onopen?.({} as Event);
    sockets.send(1, "flags");
    socket.receive('{"type":"status","data":{"status":{"exec_info":{"queue_remaining":2}}}}');
    socket.onclose?.({ code: 1006, wasClean: false } as CloseEvent);
    expect(socket.sent).toEqual(["flags"]);
    expect(facts).toEqual([
      { type: "socket-opened", socket: 1 },
      { type: "message-received", socket: 1, message: { type: "status", queueRemaining: 2 }, bytes: 71 },
      { type: "socket-closed", socket: 1, code: 1006, clean: false },
    ]);
  });

  test("tells nothing more after it was closed from here", () => {
    const { facts, sockets, socket } = opened();
    sockets.close(1);
    sockets.close(1);
    sockets.send(1, "late");
    socket.receive("{}");
    socket.onopen?.({} as Event);
    socket.onclose?.({ code: 1000, wasClean: true } as CloseEvent);
    expect(socket.closed).toBe(1);
    expect([facts, socket.sent]).toEqual([[], []]);
  });

  test("turns what it cannot read into a message that says so", () => {
    const { facts, socket } = opened();
    socket.receive("not json");
    socket.receive(new ArrayBuffer(3));
    socket.receive(new ArrayBuffer(64 * 1024 * 1024 + 1));
    expect(facts.map((fact) => fact.type === "message-received" && fact.message)).toEqual([
      { type: "malformed", reason: "a text frame that is not a JSON object" },
      { type: "malformed", reason: "a binary frame of less than 8 bytes" },
      { type: "malformed", reason: "a frame of 67108865 bytes" },
    ]);
  });

  test("that cannot even be made counts as closed, in a task of its own", async () => {
    const facts: Fact[] = [];
    const sockets = createSockets(
      () => {
        throw new Error("mixed content: ws://comfy.test/ws?token=secret");
      },
      (fact) => facts.push(fact),
    );
    sockets.open(5, "ws://comfy.test/ws?token=secret");
    expect(facts).toEqual([]);
    await expect.poll(() => facts).toEqual([{ type: "socket-closed", socket: 5, code: 1006, clean: false }]);
  });
});
