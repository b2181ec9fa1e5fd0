import { type SimulationOptions, scheduleOf, simulate } from "./simulation.ts";
import { Transcript } from "./transcript.ts";

export interface Shrunk {
  readonly failure: string;
  /** Places in the schedule that it does not need. */
  readonly without: ReadonlySet<number>;
  /** What is left, in words. */
  readonly schedule: readonly string[];
  readonly transcript: readonly string[];
}

/** What is left of a failure when the numbers in it are left out. */
const kindOf = (failure: string): string =>
  (failure.split("\n")[0] ?? "").replaceAll(/\d+/g, "").slice(0, 60);

/** @returns the places of `count` that can be left out, all of them together, and it still fails */
export function leaveOut(
  count: number,
  stillFails: (without: ReadonlySet<number>) => boolean,
): ReadonlySet<number> {
  const without = new Set<number>();
  for (let before = -1; before !== without.size; ) {
    before = without.size;
    for (let place = count - 1; place >= 0; place -= 1) {
      if (without.has(place)) continue;
      without.add(place);
      if (!stillFails(without)) without.delete(place);
    }
  }
  return without;
}

/** Leaves out one act after the other, as long as the seed fails in the same way. */
export function shrink(
  seed: number,
  only: Pick<SimulationOptions, "kinds" | "size"> = {},
): Shrunk | undefined {
  const { failure } = simulate(seed, only);
  if (failure === undefined) return undefined;
  const wanted = kindOf(failure);
  const { acts } = scheduleOf(seed, only.kinds, only.size);
  const without = leaveOut(
    acts.length,
    (places) => kindOf(simulate(seed, { ...only, without: places }).failure ?? "") === wanted,
  );
  const transcript = new Transcript();
  const last = simulate(seed, { ...only, without, transcript });
  return {
    failure: last.failure ?? failure,
    without,
    schedule: acts.flatMap(({ kind }, place) => (without.has(place) ? [] : [`${place}: ${kind}`])),
    transcript: transcript.lines,
  };
}
