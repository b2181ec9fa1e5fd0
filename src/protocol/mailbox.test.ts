import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { BoundedMailbox, hostEventKey, isEnding, isRetained, Mailbox, taskEventKey } from "./mailbox.ts";
import type { HostEvent } from "./session-api.ts";
import { isSettled, type PortTaskEvent, type TaskStatus } from "./tasks.ts";

interface Letter {
  readonly key: string;
  readonly kind?: string;
  readonly number: number;
}

const limits: { readonly [kind: string]: number } = { red: 2, blue: 3, none: 0 };
const limitOf = ({ kind }: Letter) =>
  kind === undefined ? undefined : { kind, limit: limits[kind] ?? Number.POSITIVE_INFINITY };
const letters = (mailbox: Mailbox<Letter>): number[] => mailbox.items().map(({ number }) => number);

function filled(...items: readonly Letter[]): Mailbox<Letter> {
  const mailbox = new BoundedMailbox<Letter>(({ key }) => key, limitOf);
  for (const item of items) mailbox.put(item);
  return mailbox;
}

describe("a mailbox", () => {
  test("without bounds keeps the newer of two with the same key, and every other", () => {
    const mailbox = new Mailbox<Letter>(({ key }) => key);
    for (const number of [1, 2, 3]) mailbox.put({ key: number === 2 ? "b" : "a", kind: "none", number });
    expect([mailbox.size, letters(mailbox)]).toEqual([2, [2, 3]]);
    mailbox.drop(({ number }) => number === 2);
    expect([mailbox.take()?.number, mailbox.take()]).toEqual([3, undefined]);
  });

  test("gives back what was put in, oldest first, and is empty then", () => {
    const mailbox = filled({ key: "a", number: 1 }, { key: "b", number: 2 });
    expect(mailbox.size).toBe(2);
    expect([mailbox.take()?.number, mailbox.take()?.number, mailbox.take()]).toEqual([1, 2, undefined]);
    expect(mailbox.size).toBe(0);
  });

  test("gives all at once, and counts none of it any more", () => {
    const mailbox = filled({ key: "a", kind: "red", number: 1 }, { key: "b", kind: "red", number: 2 });
    expect(mailbox.drain().map(({ number }) => number)).toEqual([1, 2]);
    for (const number of [3, 4]) mailbox.put({ key: `${number}`, kind: "red", number });
    expect(letters(mailbox)).toEqual([3, 4]);
  });

  test("keeps the newer of two with the same key, at the end", () => {
    const mailbox = filled({ key: "a", number: 1 }, { key: "b", number: 2 }, { key: "a", number: 3 });
    expect(letters(mailbox)).toEqual([2, 3]);
  });

  test("drops the oldest of a kind beyond the kind's limit, and nothing of another", () => {
    const red = (number: number): Letter => ({ key: `r${number}`, kind: "red", number });
    const mailbox = filled(
      red(1),
      { key: "free", number: 2 },
      red(3),
      { key: "b", kind: "blue", number: 4 },
      red(5),
    );
    expect(letters(mailbox)).toEqual([2, 3, 4, 5]);
  });

  test("counts a replaced one once", () => {
    const mailbox = filled(
      { key: "a", kind: "red", number: 1 },
      { key: "b", kind: "red", number: 2 },
      { key: "a", kind: "red", number: 3 },
      { key: "a", kind: "red", number: 4 },
    );
    expect(letters(mailbox)).toEqual([2, 4]);
  });

  test("counts what is taken no more", () => {
    const mailbox = filled({ key: "a", kind: "red", number: 1 }, { key: "b", kind: "red", number: 2 });
    mailbox.take();
    mailbox.put({ key: "c", kind: "red", number: 3 });
    expect(letters(mailbox)).toEqual([2, 3]);
  });

  test("counts what is dropped no more", () => {
    const mailbox = filled({ key: "a", kind: "red", number: 1 }, { key: "b", kind: "red", number: 2 });
    mailbox.drop(({ number }) => number === 2);
    mailbox.put({ key: "c", kind: "red", number: 3 });
    expect(letters(mailbox)).toEqual([1, 3]);
  });

  test("keeps nothing of a kind whose limit is none", () => {
    expect(letters(filled({ key: "a", number: 1 }, { key: "b", kind: "none", number: 2 }))).toEqual([1]);
  });

  test("lets its list be changed without being changed", () => {
    const mailbox = filled({ key: "a", number: 1 });
    mailbox.items().pop();
    expect(mailbox.size).toBe(1);
  });

  test("has a place for keys that every object has", () => {
    const mailbox = filled(
      { key: "__proto__", number: 1 },
      { key: "constructor", kind: "constructor", number: 2 },
    );
    expect(letters(mailbox)).toEqual([1, 2]);
  });

  test("behaves as a list would in which older ones are searched for and removed", () => {
    const letter = fc.record(
      {
        key: fc.constantFrom("a", "b", "c", "d", "e", "f"),
        kind: fc.constantFrom("red", "blue", "none", "green"),
        number: fc.nat(),
      },
      { requiredKeys: ["key", "number"] },
    );
    const action = fc.oneof(
      { weight: 6, arbitrary: letter.map((item) => ({ put: item })) },
      { weight: 2, arbitrary: fc.constant({ take: true }) },
      { weight: 1, arbitrary: fc.constantFrom("a", "b", "c").map((key) => ({ drop: key })) },
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const mailbox = filled();
        let model: Letter[] = [];
        for (const one of actions) {
          if ("put" in one) {
            mailbox.put(one.put);
            model = [...model.filter(({ key }) => key !== one.put.key), one.put];
            const same = model.filter(({ kind }) => kind === one.put.kind);
            if (same.length > (limitOf(one.put)?.limit ?? Number.POSITIVE_INFINITY))
              model = model.filter((item) => item !== same[0]);
          } else if ("take" in one) {
            expect(mailbox.take()).toBe(model.shift());
          } else {
            mailbox.drop(({ key }) => key === one.drop);
            model = model.filter(({ key }) => key !== one.drop);
          }
          expect(mailbox.items()).toEqual(model);
          expect(mailbox.size).toBe(model.length);
        }
      }),
    );
  });

  test("whose reader never reads keeps so many letters a key and a kind, however many come", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), fc.boolean()), { minLength: 1, maxLength: 300 }), (puts) => {
        const mailbox = filled();
        for (const [number, limited] of puts)
          mailbox.put({ key: `${limited} ${number}`, number, ...(limited ? { kind: "red" } : {}) });
        expect(mailbox.size).toBeLessThanOrEqual(5 + 2);
      }),
    );
  });
});

const base = { taskId: "t", at: 0 };
const result = { taskId: "t", promptId: "p", serverId: "s", outputs: {}, files: [] };
const error = { code: "closed", message: "x", details: {} } as const;

/** One event of each type, and what is to be held of it. */
const events: readonly { event: PortTaskEvent; key: string; retained: boolean; ending: boolean }[] = [
  {
    event: { ...base, seq: 1, type: "accepted", serverId: "s", promptId: "p" },
    key: "t #1",
    retained: true,
    ending: false,
  },
  {
    event: { ...base, seq: 2, type: "queued", position: 3 },
    key: "t queued",
    retained: false,
    ending: false,
  },
  { event: { ...base, seq: 3, type: "started" }, key: "t #3", retained: true, ending: false },
  { event: { ...base, seq: 4, type: "cached", nodeIds: ["1"] }, key: "t #4", retained: true, ending: false },
  {
    event: { ...base, seq: 5, type: "node", nodeId: "3", displayNodeId: "3" },
    key: "t node",
    retained: false,
    ending: false,
  },
  {
    event: { ...base, seq: 6, type: "progress", nodeId: "3", value: 1, max: 2 },
    key: "t progress 3",
    retained: false,
    ending: false,
  },
  {
    event: { ...base, seq: 7, type: "preview", nodeId: "3", image: new ArrayBuffer(0) },
    key: "t preview 3",
    retained: false,
    ending: false,
  },
  {
    event: { ...base, seq: 8, type: "preview", nodeId: undefined, image: new ArrayBuffer(0) },
    key: "t preview ",
    retained: false,
    ending: false,
  },
  {
    event: { ...base, seq: 9, type: "text", nodeId: "3", text: "x" },
    key: "t text 3",
    retained: false,
    ending: false,
  },
  {
    event: { ...base, seq: 10, type: "output", nodeId: "3", output: {}, files: [] },
    key: "t #10",
    retained: true,
    ending: false,
  },
  {
    event: { ...base, seq: 11, type: "warning", code: "node-blocked", message: "x", nodeId: "3" },
    key: "t warning node-blocked 3",
    retained: true,
    ending: false,
  },
  {
    event: { ...base, seq: 12, type: "warning", code: "stalled", message: "x" },
    key: "t warning stalled ",
    retained: true,
    ending: false,
  },
  {
    event: { ...base, seq: 13, type: "gap", reason: "resumed" },
    key: "t gap",
    retained: false,
    ending: false,
  },
  { event: { ...base, seq: 14, type: "succeeded", result }, key: "t #14", retained: true, ending: true },
  { event: { ...base, seq: 15, type: "failed", error }, key: "t #15", retained: true, ending: true },
  { event: { ...base, seq: 16, type: "cancelled", by: "other" }, key: "t #16", retained: true, ending: true },
  {
    event: { ...base, seq: 17, type: "lost", reason: "removed" },
    key: "t #17",
    retained: true,
    ending: true,
  },
];

describe("a task's event", () => {
  test.each(events)("$event.type has the key `$key`", ({ event, key }) => {
    expect(taskEventKey(event)).toBe(key);
  });

  test.each(events)("$event.type is told to late readers: $retained", ({ event, retained }) => {
    expect(isRetained(event)).toBe(retained);
  });

  test.each(events)("$event.type is an ending: $ending", ({ event, ending }) => {
    expect(isEnding(event)).toBe(ending);
    expect(isSettled(event.type as TaskStatus)).toBe(ending);
  });

  test("is never replaced by an event of another task, type or node", () => {
    const keys = events.flatMap(({ event }) => [event, { ...event, taskId: "u" }]).map(taskEventKey);
    expect(new Set(keys).size).toBe(keys.length);
  });

  test("that must not be missed has a key of its own each time", () => {
    for (const { event, retained } of events) {
      if (!retained || event.type === "warning") continue;
      expect(taskEventKey({ ...event, seq: 99 })).not.toBe(taskEventKey(event));
    }
  });

  test("of which only the newest counts has the same key each time, so that a reader who sleeps costs no more", () => {
    for (const { event, retained } of events)
      if (!retained) expect(taskEventKey({ ...event, seq: 99 })).toBe(taskEventKey(event));
  });
});

describe("an event of the host", () => {
  const server = {
    id: "s",
    url: "http://comfy.test",
    connection: "open",
    queueRemaining: 1,
    version: undefined,
  } as const;

  test.each<[string, HostEvent, string]>([
    ["a task's", { kind: "task", event: { ...base, seq: 1, type: "started" } }, "t #1"],
    ["a server's", { kind: "server", server }, "server s"],
    ["a transfer's", { kind: "transfer", transferId: "x", loaded: 1, total: 2 }, "transfer x"],
    [
      "a custom message's",
      { kind: "message", number: 4, serverId: "s", type: "logs", data: {} },
      "message #4",
    ],
  ])("has %s key", (_, event, key) => {
    expect(hostEventKey(event)).toBe(key);
  });
});
