import { createRandom } from "../simulator/random.ts";

/** All chance in a world comes from one number. */
export interface Dice {
  /** From 0 up to, but not including, 1. */
  next(): number;
  /** A whole number of both ends. */
  whole(from: number, to: number): number;
  chance(share: number): boolean;
  pick<T>(list: readonly T[]): T | undefined;
  /** Mostly near `usual`, now and then up to a hundred times as much: what networks and schedulers do. */
  delay(usual: number): number;
}

export function createDice(seed: number): Dice {
  const { next } = createRandom(seed);
  return {
    next,
    whole: (from, to) => from + Math.floor(next() * (to - from + 1)),
    chance: (share) => next() < share,
    pick: (list) => list[Math.floor(next() * list.length)],
    delay: (usual) => {
      const roll = next();
      return roll < 0.95 ? usual * (0.2 + roll) : usual * (1 + (roll - 0.95) * 2000);
    },
  };
}

/** As a tab mints them. */
export function mintPromptId(dice: Dice): string {
  const hex = (digits: number): string =>
    Array.from({ length: digits }, () => dice.whole(0, 15).toString(16)).join("");
  return `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
}
