import { setTimeout as wait } from "node:timers/promises";
import type { ChaosBrowser, ChaosTab } from "./browser.ts";
import type { Told } from "./told.ts";

/** A tab as its user sees it: closed and opened again, or crashed and reloaded, it is the same. */
export interface Seat {
  readonly name: string;
  readonly tab: ChaosTab;
  /** Something is being done to it. */
  isBusy: boolean;
}

export interface Seats {
  readonly all: readonly Seat[];
  /** One of those to which nothing is being done. */
  free(number: number): Seat | undefined;
  add(): Promise<Seat>;
  duplicate(seat: Seat): Promise<void>;
  /** Closes it, and opens it again with what it had stored. */
  reopen(seat: Seat, away: () => Promise<void>): Promise<void>;
  of(tab: ChaosTab): Seat;
  /** Does something to a tab, and nothing else meanwhile. @throws Error where it takes too long */
  hold(seat: Seat, run: () => Promise<void>): Promise<void>;
}

/** A command to a page that has gone gets no answer. */
const stepMs = 30_000;

export function createSeats(chaos: ChaosBrowser, address: string): Seats {
  const seats: (Seat & { tab: ChaosTab; stored: Readonly<Record<string, string>> })[] = [];

  function take(tab: ChaosTab): (typeof seats)[number] {
    const known = seats.find((seat) => seat.tab === tab);
    if (known) return known;
    const seat = { name: `tab ${seats.length + 1}`, tab, isBusy: false, stored: {} };
    seats.push(seat);
    return seat;
  }

  chaos.onTold((told: Told, tab) => {
    if (told.kind === "stored") take(tab).stored = told.items;
  });

  return {
    all: seats,
    free(number) {
      const free = seats.filter(({ isBusy, tab }) => !isBusy && !tab.isCrashed);
      return free[number % free.length];
    },
    add: async () => take(await chaos.open(address, {}, take)),
    // Until the copy knows who it is, nothing happens to the original: an id that is free is its first taker's.
    async duplicate(seat) {
      const copy = take(await seat.tab.duplicate());
      copy.isBusy = true;
      try {
        await copy.tab.ready();
      } finally {
        copy.isBusy = false;
      }
    },
    async reopen(seat, away) {
      const own = take(seat.tab);
      await own.tab.close();
      await away();
      await chaos.open(address, own.stored, (tab) => {
        own.tab = tab;
      });
    },
    of: take,
    async hold(seat, run) {
      seat.isBusy = true;
      await within(stepMs, run()).finally(() => {
        seat.isBusy = false;
      });
    },
  };
}

async function within<T>(ms: number, doing: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = wait(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`no answer in ${ms} ms`);
  });
  try {
    return await Promise.race([doing, late]);
  } finally {
    late.catch(() => {}); // aborted
    over.abort();
  }
}
