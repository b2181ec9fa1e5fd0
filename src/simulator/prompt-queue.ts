import type { Prompt } from "./graph.ts";

/**
 * ComfyUI's queue: a binary heap by number, then prompt id, kept as Python's `heapq` keeps it, because
 * `GET /queue` shows it as it lies.
 */
export interface PromptQueue {
  readonly pending: readonly Prompt[];
  /** @throws when the number *and* the id are those of another one: it is queued all the same */
  push(prompt: Prompt): void;
  pop(): Prompt | undefined;
  /** @returns whether one was there */
  remove(promptId: string): Prompt | undefined;
  clear(): readonly Prompt[];
}

export class Incomparable extends Error {}

export function createPromptQueue(): PromptQueue {
  const heap: Prompt[] = [];

  /** Python compares the graphs last, which have no order. */
  function less(a: Prompt, b: Prompt): boolean {
    if (a.number !== b.number) return a.number < b.number;
    if (a.promptId !== b.promptId) return a.promptId < b.promptId;
    throw new Incomparable();
  }
  const lessOrTied = (a: Prompt, b: Prompt): boolean =>
    a.number !== b.number ? a.number < b.number : a.promptId < b.promptId;

  function rise(start: number, place: number, isLess: typeof less): void {
    const risen = heap[place]!;
    while (place > start) {
      const parent = (place - 1) >> 1;
      if (!isLess(risen, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = risen;
  }

  /** To the bottom first, then up: heapq's way, with its order of ties. */
  function sink(start: number): void {
    const sunk = heap[start]!;
    let place = start;
    let child = 2 * place + 1;
    while (child < heap.length) {
      if (child + 1 < heap.length && !lessOrTied(heap[child]!, heap[child + 1]!)) child += 1;
      heap[place] = heap[child]!;
      place = child;
      child = 2 * place + 1;
    }
    heap[place] = sunk;
    rise(start, place, lessOrTied);
  }

  return {
    pending: heap,
    push(prompt) {
      heap.push(prompt);
      rise(0, heap.length - 1, less);
    },
    pop() {
      const last = heap.pop();
      if (last === undefined || heap.length === 0) return last;
      const first = heap[0]!;
      heap[0] = last;
      sink(0);
      return first;
    },
    remove(promptId) {
      const place = heap.findIndex((prompt) => prompt.promptId === promptId);
      if (place < 0) return undefined;
      const [removed] = heap.splice(place, 1);
      for (let start = (heap.length >> 1) - 1; start >= 0; start -= 1) sink(start);
      return removed;
    },
    clear: () => heap.splice(0),
  };
}
