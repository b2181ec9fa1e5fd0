import { type FaultKind, faultKinds } from "./faults.ts";
import type { Outcome } from "./simulation.ts";

/** What many seeds came to. Plain data, so that threads can send it. */
export interface Totals {
  seeds: number;
  steps: number;
  virtualMs: number;
  tasks: number;
  /** Tasks whose POST a browser or proxy had repeated and that ran twice, seen and removed twins. */
  twice: number;
  twinsSeen: number;
  twinsRemoved: number;
  endings: Record<string, number>;
  faults: Record<string, number>;
  /** How often a fault came some time after another one in one world: `"first second"`. */
  pairs: Record<string, number>;
  failures: { seed: number; failure: string }[];
}

/** In so many worlds some POST is repeated, and its twin waits long enough to be found. */
const twinSeeds = 600;

export class Summary {
  readonly totals: Totals = {
    seeds: 0,
    steps: 0,
    virtualMs: 0,
    tasks: 0,
    twice: 0,
    twinsSeen: 0,
    twinsRemoved: 0,
    endings: {},
    faults: {},
    pairs: {},
    failures: [],
  };

  add({ seed, steps, virtualMs, tasks, twice, twins, endings, faults, failure }: Outcome): void {
    const { totals } = this;
    totals.seeds += 1;
    totals.steps += steps;
    totals.virtualMs += virtualMs;
    totals.tasks += tasks;
    totals.twice += twice;
    totals.twinsSeen += twins.seen;
    totals.twinsRemoved += twins.removed;
    count(totals.endings, endings);
    for (const [place, first] of faults.entries()) {
      totals.faults[first] = (totals.faults[first] ?? 0) + 1;
      for (const second of faults.slice(place + 1)) {
        const pair = `${first} ${second}`;
        totals.pairs[pair] = (totals.pairs[pair] ?? 0) + 1;
      }
    }
    if (failure !== undefined) totals.failures.push({ seed, failure });
  }

  merge(other: Totals): void {
    const { totals } = this;
    for (const name of [
      "seeds",
      "steps",
      "virtualMs",
      "tasks",
      "twice",
      "twinsSeen",
      "twinsRemoved",
    ] as const)
      totals[name] += other[name];
    for (const name of ["endings", "faults", "pairs"] as const) count(totals[name], other[name]);
    totals.failures.push(...other.failures);
  }

  /** The failure of the smallest seed up to this one. Twins that nobody ever removes are one, too. */
  firstFailure(upTo: number): { seed: number; failure: string } | undefined {
    const { failures, seeds, twinsRemoved } = this.totals;
    const [first] = failures.filter(({ seed }) => seed <= upTo).sort((a, b) => a.seed - b.seed);
    if (first || twinsRemoved > 0 || seeds < twinSeeds) return first;
    return { seed: seeds, failure: "G5 is broken: of all that ran twice no twin was removed" };
  }

  /** Failures by the promise that was broken. */
  broken(): Record<string, number> {
    const found: Record<string, number> = {};
    for (const { failure } of this.totals.failures) {
      const promise = /G\d/.exec(failure)?.[0] ?? "other";
      found[promise] = (found[promise] ?? 0) + 1;
    }
    return found;
  }

  words(): string[] {
    const { totals } = this;
    const broken = this.broken();
    const list = (record: Record<string, number>): string =>
      Object.entries(record)
        .sort(([, a], [, b]) => b - a)
        .map(([name, times]) => `${name} ${times}`)
        .join(", ");
    return [
      `seeds ${totals.seeds}, steps ${totals.steps}, ${Math.round(totals.virtualMs / 3_600_000)} h of virtual time`,
      `tasks ${totals.tasks}; endings: ${list(totals.endings)}`,
      `faults: ${list(totals.faults)}`,
      `POSTs repeated by a browser or proxy that ran twice ${totals.twice}; twins seen ${totals.twinsSeen}, removed ${totals.twinsRemoved}`,
      `lost ${broken.G2 ?? 0}, misrouted ${broken.G1 ?? 0}, duplicated ${broken.G5 ?? 0}, unbounded ${broken.G8 ?? 0}, otherwise broken ${
        totals.failures.length - ["G1", "G2", "G5", "G8"].reduce((sum, name) => sum + (broken[name] ?? 0), 0)
      }`,
    ];
  }

  /** How often each kind of fault (row) came before each other one (column, by its number). */
  pairTable(): string[] {
    const cell = (first: FaultKind, second: FaultKind): string =>
      String(this.totals.pairs[`${first} ${second}`] ?? 0).padStart(5);
    const width = Math.max(...faultKinds.map(({ length }) => length)) + 4;
    return [
      " ".repeat(width) + faultKinds.map((_, place) => String(place + 1).padStart(5)).join(""),
      ...faultKinds.map(
        (first, place) =>
          `${String(place + 1).padStart(2)} ${first}`.padEnd(width) +
          faultKinds.map((second) => cell(first, second)).join(""),
      ),
    ];
  }

  rarestPair(): { readonly pair: string; readonly times: number } {
    let rarest = { pair: "", times: Number.POSITIVE_INFINITY };
    for (const first of faultKinds)
      for (const second of faultKinds) {
        const pair = `${first} ${second}`;
        const times = this.totals.pairs[pair] ?? 0;
        if (times < rarest.times) rarest = { pair, times };
      }
    return rarest;
  }
}

function count(into: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [name, times] of Object.entries(from)) into[name] = (into[name] ?? 0) + times;
}
