import { describe, expect, test } from "vitest";
import { createClock } from "./clock.ts";
import { createLedger } from "./ledger.ts";
import { createSocketTable, type ServerSocket, type SocketTable } from "./sockets.ts";
import * as wire from "./wire.ts";

interface Client {
  readonly socket: ServerSocket;
  readonly heard: string[];
  readonly closed: number[];
  isFull: boolean;
}

interface Scene {
  readonly table: SocketTable;
  open(clientId: string): Client;
  /** What is sent is heard only when time goes on. */
  pass(ms?: number): void;
  tell(word: string, to?: unknown): void;
}

function scene(environment: Partial<Parameters<typeof createSocketTable>[0]> = {}): Scene {
  const clock = createClock(0);
  const table = createSocketTable({
    clock,
    ledger: createLedger(100),
    hasFlags: true,
    serverFlags: () => ({ supports_preview_metadata: true }),
    queueRemaining: () => 0,
    runningNode: () => undefined,
    ...environment,
  });
  return {
    table,
    open(clientId) {
      const heard: string[] = [];
      const closed: number[] = [];
      const client = { heard, closed, isFull: false };
      const socket = table.open(clientId, {
        frame: (frame) => heard.push(JSON.parse(String(frame)).type),
        closed: (code) => closed.push(code),
        isFull: () => client.isFull,
      });
      return Object.assign(client, { socket });
    },
    pass: (ms = 0) => clock.advanceTo(clock.now + ms),
    tell: (word, to) => table.send(wire.custom(word, {}), to),
  };
}

const flags = (value: unknown = true): string =>
  JSON.stringify({ type: "feature_flags", data: { supports_preview_metadata: value } });

describe("a socket that opens", () => {
  test("hears the status with its client id at once, before anything is published", () => {
    const { table, open, tell, pass } = scene({ queueRemaining: () => 3 });
    const frames: string[] = [];
    tell("earlier");
    table.open("anna", { frame: (frame) => frames.push(String(frame)), closed: () => {} });
    expect(frames.map((frame) => JSON.parse(frame))).toEqual([
      { type: "status", data: { status: { exec_info: { queue_remaining: 3 } }, sid: "anna" } },
    ]);
    const ben = open("ben");
    pass();
    expect(ben.heard).toEqual(["status", "earlier"]);
  });

  test("hears the node that runs for its client id, and no other's", () => {
    const { open } = scene({ runningNode: (clientId) => (clientId === "anna" ? "7" : undefined) });
    expect(open("anna").heard).toEqual(["status", "executing"]);
    expect(open("ben").heard).toEqual(["status"]);
  });
});

describe("a message", () => {
  test("to nobody in particular is for all, to a client id for that one, to a stranger for none", () => {
    const { open, tell, pass } = scene();
    const [anna, ben] = [open("anna"), open("ben")];
    tell("all");
    tell("anna's", "anna");
    tell("stranger's", "carl");
    tell("number's", 7);
    pass();
    expect(anna.heard).toEqual(["status", "all", "anna's"]);
    expect(ben.heard).toEqual(["status", "all"]);
  });

  test("goes to the socket that is registered when it is published, not when it was sent", () => {
    const { open, tell, pass } = scene();
    const first = open("anna");
    tell("sent to the first", "anna");
    first.socket.close();
    const second = open("anna");
    pass();
    expect(first.heard).toEqual(["status"]);
    expect(second.heard).toEqual(["status", "sent to the first"]);
  });
});

describe("two sockets with one client id", () => {
  test("only the newer hears anything, and the older is not told", () => {
    const { open, tell, pass } = scene();
    const [older, newer] = [open("anna"), open("anna")];
    tell("mine", "anna");
    tell("all");
    pass();
    expect(older.heard).toEqual(["status"]);
    expect(older.closed).toEqual([]);
    expect(older.socket.isOpen).toBe(true);
    expect(older.socket.isRegistered).toBe(false);
    expect(newer.heard).toEqual(["status", "mine", "all"]);
  });

  test("the older one's end deafens the newer one, which stays open", () => {
    const { open, tell, pass } = scene();
    const [older, newer] = [open("anna"), open("anna")];
    older.socket.close();
    tell("mine", "anna");
    tell("all");
    pass();
    expect(newer.heard).toEqual(["status"]);
    expect(newer.socket.isOpen).toBe(true);
    expect(newer.socket.isRegistered).toBe(false);
  });

  test("a third hears again, until the deaf second ends", () => {
    const { open, tell, pass } = scene();
    const [first, second] = [open("anna"), open("anna")];
    first.socket.close();
    const third = open("anna");
    tell("heard", "anna");
    pass();
    second.socket.close();
    tell("missed", "anna");
    pass();
    expect(third.heard).toEqual(["status", "heard"]);
  });

  test("closing before opening is fine", () => {
    const { open, tell, pass } = scene();
    open("anna").socket.close();
    const second = open("anna");
    tell("heard", "anna");
    pass();
    expect(second.heard).toEqual(["status", "heard"]);
  });
});

describe("feature flags", () => {
  test("are answered at once, past what waits for the publisher", () => {
    const { table, open, tell, pass } = scene();
    const anna = open("anna");
    tell("waiting", "anna");
    anna.socket.receive(flags());
    expect(anna.heard).toEqual(["status", "feature_flags"]);
    pass();
    expect(anna.heard).toEqual(["status", "feature_flags", "waiting"]);
    expect(table.wantsMetadata("anna")).toBe(true);
  });

  test("count only as the first object; what is no object does not count", () => {
    const { table, open } = scene();
    const late = open("late");
    late.socket.receive('{"type":"hello"}');
    late.socket.receive(flags());
    expect(late.heard).toEqual(["status"]);
    expect(table.wantsMetadata("late")).toBe(false);
    const noisy = open("noisy");
    for (const frame of ["this is not json", "[1,2]", flags()]) noisy.socket.receive(frame);
    expect(noisy.heard).toEqual(["status", "feature_flags"]);
    expect(table.wantsMetadata("noisy")).toBe(true);
  });

  test("must be true itself, and are of one connection", () => {
    const { table, open } = scene();
    const truthy = open("truthy");
    truthy.socket.receive(flags(1));
    expect(truthy.heard).toEqual(["status", "feature_flags"]);
    expect(table.wantsMetadata("truthy")).toBe(false);
    const anna = open("anna");
    anna.socket.receive(flags());
    anna.socket.close();
    open("anna");
    expect(table.wantsMetadata("anna")).toBe(false);
  });

  test("of an older socket are taken for the newer one's, to which the answer goes", () => {
    const { table, open } = scene();
    const [older, newer] = [open("anna"), open("anna")];
    older.socket.receive(flags());
    expect(older.heard).toEqual(["status"]);
    expect(newer.heard).toEqual(["status", "feature_flags"]);
    expect(table.wantsMetadata("anna")).toBe(true);
  });

  test("are nothing to an old server", () => {
    const { table, open } = scene({ hasFlags: false });
    const anna = open("anna");
    anna.socket.receive(flags());
    expect(anna.heard).toEqual(["status"]);
    expect(table.wantsMetadata("anna")).toBe(false);
  });
});

describe("the publisher", () => {
  test("waits for a full socket that a message is for, and everybody waits with it", () => {
    const { table, open, tell, pass } = scene();
    const [slow, quick] = [open("slow"), open("quick")];
    slow.isFull = true;
    tell("quick's first", "quick");
    tell("for all");
    tell("quick's second", "quick");
    pass(5000);
    expect(quick.heard).toEqual(["status", "quick's first"]);
    slow.isFull = false;
    table.wake();
    pass();
    expect(quick.heard).toEqual(["status", "quick's first", "for all", "quick's second"]);
    expect(slow.heard).toEqual(["status", "for all"]);
  });

  test("goes on when the slow one is gone", () => {
    const { open, tell, pass } = scene();
    const [slow, quick] = [open("slow"), open("quick")];
    slow.isFull = true;
    tell("for all");
    pass();
    expect(quick.heard).toEqual(["status"]);
    slow.socket.close();
    pass();
    expect(quick.heard).toEqual(["status", "for all"]);
  });

  test("keeps everything while it is stalled", () => {
    const { table, open, tell, pass } = scene();
    const anna = open("anna");
    table.stall();
    tell("kept", "anna");
    pass(5000);
    expect(anna.heard).toEqual(["status"]);
    table.resume();
    pass();
    expect(anna.heard).toEqual(["status", "kept"]);
  });

  test("loses what it has when the process ends", () => {
    const { table, open, tell, pass } = scene();
    const anna = open("anna");
    tell("lost", "anna");
    table.reset();
    const again = open("anna");
    pass();
    expect(anna.closed).toEqual([1006]);
    expect(again.heard).toEqual(["status"]);
  });
});

describe("a socket ends", () => {
  test("with 1009 for a frame of more than 4 MiB", () => {
    const { table, open } = scene();
    const anna = open("anna");
    anna.socket.receive("x".repeat(4 * 1024 * 1024));
    expect(anna.closed).toEqual([]);
    anna.socket.receive("x".repeat(4 * 1024 * 1024 + 1));
    expect(anna.closed).toEqual([1009]);
    expect(table.sockets).toEqual([]);
  });

  test("with 1006 when it is cut, alone or with all", () => {
    const { table, open } = scene();
    const [anna, ben] = [open("anna"), open("ben")];
    table.cut("anna");
    expect([anna.closed, ben.closed]).toEqual([[1006], []]);
    table.cut();
    expect([anna.closed, ben.closed]).toEqual([[1006], [1006]]);
  });

  test("with no word when the client closes it, and once only", () => {
    const { table, open } = scene();
    const anna = open("anna");
    anna.socket.close();
    const again = open("anna");
    anna.socket.close();
    table.cut();
    expect(anna.closed).toEqual([]);
    expect(again.closed).toEqual([1006]);
  });

  test("by being deafened never: it stays open and hears nothing", () => {
    const { table, open, tell, pass } = scene();
    const [anna, ben] = [open("anna"), open("ben")];
    table.deafen("anna");
    tell("all");
    pass();
    expect(anna.heard).toEqual(["status"]);
    expect(anna.socket.isOpen).toBe(true);
    expect(ben.heard).toEqual(["status", "all"]);
  });
});
