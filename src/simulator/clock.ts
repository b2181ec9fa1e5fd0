/** Something that will happen, and the undo. */
type Due = { readonly at: number; readonly order: number; run: (() => void) | undefined };

/**
 * Time that passes only when it is told to. What is due runs in the order of its time, and what is due at
 * the same time in the order in which it was asked for.
 */
export interface Clock {
  readonly now: number;
  /** @returns the undo */
  after(ms: number, run: () => void): () => void;
  /** When something is due next; undefined if nothing is. */
  readonly nextAt: number | undefined;
  /** Runs everything that is due until then; afterwards it is then. */
  advanceTo(at: number): void;
}

export function createClock(startAt: number): Clock {
  let now = startAt;
  let order = 0;
  const heap: Due[] = [];

  const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

  function push(due: Due): void {
    let place = heap.length;
    heap.push(due);
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!before(due, heap[parent]!)) break;
      heap[place] = heap[parent]!;
      place = parent;
    }
    heap[place] = due;
  }

  function pop(): void {
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!before(heap[child]!, last)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = last;
  }

  function first(): Due | undefined {
    while (heap.length > 0 && heap[0]!.run === undefined) pop();
    return heap[0];
  }

  return {
    get now() {
      return now;
    },
    after(ms, run) {
      const due: Due = { at: now + Math.max(0, ms), order: order++, run };
      push(due);
      return () => {
        due.run = undefined;
      };
    },
    get nextAt() {
      return first()?.at;
    },
    advanceTo(at) {
      for (let due = first(); due !== undefined && due.at <= at; due = first()) {
        const run = due.run!;
        due.run = undefined;
        pop();
        now = Math.max(now, due.at);
        run();
      }
      now = Math.max(now, at);
    },
  };
}
