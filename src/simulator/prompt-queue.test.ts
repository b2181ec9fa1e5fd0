import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Prompt } from "./graph.ts";
import { createPromptQueue, Incomparable, type PromptQueue } from "./prompt-queue.ts";

const prompt = (number: number, promptId = `id-${number}`): Prompt => ({
  number,
  promptId,
  askedId: undefined,
  graph: {},
  extraData: {},
  outputs: [],
  clientId: undefined,
  createdAt: 0,
});

function queueOf(...numbers: readonly number[]): PromptQueue {
  const queue = createPromptQueue();
  for (const number of numbers) queue.push(prompt(number));
  return queue;
}

const listed = (queue: PromptQueue): number[] => queue.pending.map(({ number }) => number);
function drained(queue: PromptQueue): Prompt[] {
  const prompts: Prompt[] = [];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) prompts.push(next);
  return prompts;
}

// The expected orders are those of Python's heapq.
describe("the queue", () => {
  test("shows itself as the heap lies, in the recorded order", () => {
    expect(listed(queueOf(5, 1, 4, 2, 3, 0, 9, 7, 8, 6))).toEqual([0, 2, 1, 5, 3, 4, 9, 7, 8, 6]);
  });

  test("lies as heapq leaves it after the first was taken", () => {
    const queue = queueOf(5, 1, 4, 2, 3, 0, 9, 7, 8, 6);
    expect(queue.pop()?.number).toBe(0);
    expect(listed(queue)).toEqual([1, 2, 4, 5, 3, 6, 9, 7, 8]);
  });

  test("is heaped anew after one was deleted", () => {
    const queue = queueOf(5, 1, 4, 2, 3, 0, 9, 7, 8, 6);
    expect(queue.remove("id-1")?.number).toBe(1);
    expect(listed(queue)).toEqual([0, 2, 5, 3, 4, 9, 7, 8, 6]);
    expect(drained(queue).map(({ number }) => number)).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("takes the smallest number first, and of two with the same number the smaller id", () => {
    const queue = createPromptQueue();
    for (const [number, id] of [
      [1, "b"],
      [-3.5, "z"],
      [1, "a"],
      [0, "m"],
      [-0, "c"],
    ] as const)
      queue.push(prompt(number, id));
    expect(drained(queue).map(({ promptId }) => promptId)).toEqual(["z", "c", "m", "a", "b"]);
  });

  test("fails for two with the same number and id, and has queued the second all the same", () => {
    const queue = createPromptQueue();
    queue.push(prompt(1000, "twice"));
    expect(() => queue.push(prompt(1000, "twice"))).toThrow(Incomparable);
    expect(drained(queue).map(({ promptId }) => promptId)).toEqual(["twice", "twice"]);
  });

  test("knows nothing of an id that is not there, and is empty after it was cleared", () => {
    const queue = queueOf(2, 1);
    expect(queue.remove("id-7")).toBeUndefined();
    expect(queue.clear().map(({ number }) => number)).toEqual([1, 2]);
    expect(queue.pending).toEqual([]);
    expect(queue.pop()).toBeUndefined();
  });

  test("gives whatever was pushed and not removed in order", () => {
    const numbers = fc.array(fc.integer({ min: -50, max: 50 }), { maxLength: 40 });
    fc.assert(
      fc.property(numbers, fc.array(fc.nat(39), { maxLength: 10 }), (pushed, removed) => {
        const queue = createPromptQueue();
        const left = new Map(pushed.map((number, place) => [`p${String(place).padStart(2, "0")}`, number]));
        for (const [id, number] of left) queue.push(prompt(number, id));
        for (const place of removed) {
          const id = `p${String(place).padStart(2, "0")}`;
          expect(queue.remove(id)?.promptId).toBe(left.has(id) ? id : undefined);
          left.delete(id);
        }
        const order = [...left].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
        expect(drained(queue).map(({ promptId }) => promptId)).toEqual(order.map(([id]) => id));
      }),
    );
  });
});
