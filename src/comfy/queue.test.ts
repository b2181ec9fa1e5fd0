import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readQueue, readQueueRemaining } from "./queue.ts";

const item = (number: unknown, promptId: unknown, extra: unknown = {}) => [number, promptId, {}, extra, []];
const queue = (running: unknown, pending: unknown): string =>
  JSON.stringify({ queue_running: running, queue_pending: pending });
const pendingIds = (...items: unknown[]): string[] | undefined =>
  readQueue(queue([], items))?.pending.map(({ promptId }) => promptId);

describe("the queue", () => {
  test("tells what runs and what waits, and for which socket", () => {
    const text = queue([item(0, "a", { client_id: "tab-1" })], [item(1, "b", { create_time: 5 })]);
    expect(readQueue(text)).toEqual({
      running: [{ number: 0, promptId: "a", clientId: "tab-1" }],
      pending: [{ number: 1, promptId: "b", clientId: undefined }],
      isWhole: true,
    });
  });

  test("is in the order of running, though the server sends its heap as it lies", () => {
    const heap = [0, 2, 1, 5, 3, 4, 9, 7, 8, 6].map((number) => item(number, `p${number}`));
    expect(pendingIds(...heap)).toEqual(["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"]);
  });

  test("has what was sent with `front` first, the last of them foremost", () => {
    expect(pendingIds(item(3, "c"), item(-5, "e"), item(-4, "d"), item(1.5, "b"))).toEqual([
      "e",
      "d",
      "b",
      "c",
    ]);
  });

  test("puts prompts of one number in the order of their ids", () => {
    expect(pendingIds(item(1, "b"), item(1, "a"), item(0, "z"), item(1, "B"))).toEqual(["z", "B", "a", "b"]);
  });

  test("has one order, however the heap lies", () => {
    const items = fc.uniqueArray(fc.tuple(fc.integer({ min: -3, max: 3 }), fc.uuid()), {
      selector: ([, id]) => id,
    });
    const two = items.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })),
    );
    fc.assert(
      fc.property(two, ([list, shuffled]) => {
        const sorted = pendingIds(...list.map(([number, id]) => item(number, id)));
        expect(pendingIds(...shuffled.map(([number, id]) => item(number, id)))).toEqual(sorted);
        expect([...(sorted ?? [])].sort()).toEqual(list.map(([, id]) => id).sort());
      }),
    );
  });

  test("leaves out what is no item, and reads what it can of the others", () => {
    const items = [null, 7, "x", {}, [], [1], item(1, 7), item("x", "a", null), ["1", "b"]];
    expect(readQueue(queue(items, []))).toEqual({
      running: [
        { number: 0, promptId: "a", clientId: undefined },
        { number: 0, promptId: "b", clientId: undefined },
      ],
      pending: [],
      isWhole: false,
    });
    expect(readQueue(queue([], [item(1, "a")]))?.isWhole).toBe(true);
  });

  test.each([
    ["nothing", ""],
    ["a page", "<html>"],
    ["a list", "[]"],
    ["an object", "{}"],
    ["half a queue", '{"queue_running":[]}'],
    ["the other half", '{"queue_pending":[]}'],
    ["a queue that is no list", queue({}, [])],
    ["a queue that is null", queue([], null)],
  ])("cannot be read from %s: that says nothing about the prompts", (_, text) => {
    expect(readQueue(text)).toBeUndefined();
  });
});

describe("the queue's length", () => {
  test.each([
    ['{"exec_info":{"queue_remaining":0}}', 0],
    ['{"exec_info":{"queue_remaining":7}}', 7],
    ['{"exec_info":{"queue_remaining":"7"}}', undefined],
    ['{"exec_info":null}', undefined],
    ["{}", undefined],
    ["<html>", undefined],
  ])("in %s is %s", (text, length) => {
    expect(readQueueRemaining(text)).toBe(length);
  });
});
