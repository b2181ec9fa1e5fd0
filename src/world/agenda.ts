/** What will happen, in the order of its time; what is due at one time, in the order in which it was asked for. */
export interface Agenda {
  readonly now: number;
  readonly nextAt: number | undefined;
  /** @returns the undo */
  after(ms: number, run: () => void): () => void;
  /** The same at a time: no rounding puts two things of one time out of order. */
  at(time: number, run: () => void): () => void;
  /** Runs what is due first. */
  runNext(): void;
  /** Time has come to this, and nothing of what is due before it is run by that. */
  passTo(at: number): void;
}

type Due = { readonly at: number; readonly order: number; run: (() => void) | undefined };

/** A clock that can also jump, as when a computer sleeps: what was due meanwhile runs late, not in between. */
export function createAgenda(): Agenda {
  const heap: Due[] = [];
  let now = 0;
  let order = 0;

  const before = (a: Due, b: Due): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

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

  const agenda: Agenda = {
    get now() {
      return now;
    },
    get nextAt() {
      const due = first();
      return due && Math.max(due.at, now);
    },
    after: (ms, run) => agenda.at(now + Math.max(0, ms), run),
    at(time, run) {
      const due: Due = { at: time, order: order++, run };
      let place = heap.length;
      heap.push(due);
      while (place > 0) {
        const parent = (place - 1) >> 1;
        if (!before(due, heap[parent]!)) break;
        heap[place] = heap[parent]!;
        place = parent;
      }
      heap[place] = due;
      return () => {
        due.run = undefined;
      };
    },
    runNext() {
      const due = first();
      if (due === undefined) return;
      pop();
      now = Math.max(now, due.at);
      const run = due.run!;
      due.run = undefined;
      run();
    },
    passTo(at) {
      now = Math.max(now, at);
    },
  };
  return agenda;
}
