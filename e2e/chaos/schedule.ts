import { createRandom } from "../../src/simulator/random.ts";
import type { RequestFault } from "./proxy.ts";

/** One thing that goes wrong. `tab` says which of the tabs that are there then. */
export type Action =
  | { readonly kind: "reload" | "duplicate"; readonly tab: number }
  /** Closed, and opened again with what it had stored. */
  | { readonly kind: "reopen" | "crash" | "back-forward"; readonly tab: number; readonly awayMs: number }
  /** The tab that made the host takes it along. */
  | { readonly kind: "crash-creator"; readonly awayMs: number }
  | { readonly kind: "freeze"; readonly tab: number; readonly ms: number }
  | { readonly kind: "kill-worker" }
  | { readonly kind: "hang-worker"; readonly ms: number }
  | { readonly kind: "cut"; readonly how: "reset" | "end"; readonly what: "websocket" | "http" | "all" }
  | { readonly kind: "half-open" | "unreachable" | "stall" | "down"; readonly ms: number }
  | { readonly kind: "slow"; readonly delayMs: number; readonly ms: number }
  | { readonly kind: "deafen" | "restart" }
  /** By somebody else, who has the same server. */
  | { readonly kind: "clear-queue" | "delete-prompt" }
  | { readonly kind: "post"; readonly fault: RequestFault };

export type Kind = Action["kind"];
export type Step = Action & { readonly afterMs: number };

/** How often each kind comes, compared with the others. */
const shares: Readonly<Record<Kind, number>> = {
  reload: 4,
  reopen: 3,
  crash: 3,
  "crash-creator": 2,
  duplicate: 1,
  "back-forward": 3,
  freeze: 3,
  "kill-worker": 3,
  "hang-worker": 1,
  cut: 5,
  "half-open": 2,
  unreachable: 1,
  stall: 1,
  down: 1,
  slow: 2,
  deafen: 2,
  restart: 1,
  "clear-queue": 1,
  "delete-prompt": 2,
  post: 4,
};

export const allKinds = Object.keys(shares) as Kind[];

export interface SchedulePlan {
  readonly seed: number;
  /** How long it takes in all. */
  readonly lastsMs: number;
  /** The mean time between two actions. */
  readonly everyMs: number;
  /** Default: all. */
  readonly kinds?: readonly Kind[];
}

/** What goes wrong and when: the same for the same seed. */
export function schedule({ seed, lastsMs, everyMs, kinds = allKinds }: SchedulePlan): Step[] {
  const random = createRandom(seed);
  const between = (least: number, most: number): number =>
    Math.floor(least + random.next() * (most + 1 - least));
  const oneOf = <T>(list: readonly T[]): T => list[between(0, list.length - 1)] as T;
  const weighted = kinds.flatMap((kind) => Array<Kind>(shares[kind]).fill(kind));
  const tab = (): number => between(0, 1000);

  function make(kind: Kind): Action {
    switch (kind) {
      case "reload":
      case "duplicate":
        return { kind, tab: tab() };
      case "reopen":
      case "crash":
      case "back-forward":
        return { kind, tab: tab(), awayMs: between(0, 4000) };
      case "crash-creator":
        return { kind, awayMs: between(0, 4000) };
      case "freeze":
        return { kind, tab: tab(), ms: between(500, 8000) };
      case "hang-worker":
        // Up to 10 s it is a slow host; beyond that it wakes up and finds that others have taken over.
        return { kind, ms: between(500, 25_000) };
      case "cut":
        return { kind, how: oneOf(["reset", "end"]), what: oneOf(["websocket", "http", "all"]) };
      case "half-open":
      case "unreachable":
      case "stall":
      case "down":
        return { kind, ms: between(1000, 8000) };
      case "slow":
        return { kind, delayMs: between(50, 500), ms: between(1000, 5000) };
      case "post":
        return { kind, fault: postFault() };
      default:
        return { kind };
    }
  }

  function postFault(): RequestFault {
    const fault = oneOf(["lose-request", "lose-answer", "deliver-late", "twice", "delay"] as const);
    return fault === "deliver-late" || fault === "delay" ? { fault, ms: between(100, 7000) } : { fault };
  }

  const steps: Step[] = [];
  for (let at = between(0, everyMs); at < lastsMs; ) {
    const afterMs = steps.length === 0 ? at : between(0, 2 * everyMs);
    if (steps.length > 0) at += afterMs;
    if (at < lastsMs) steps.push({ ...make(oneOf(weighted)), afterMs });
  }
  return steps;
}

/** For people. */
export function describe({ kind, ...rest }: Action): string {
  const words = Object.entries(rest).filter(([name]) => name !== "afterMs");
  return [kind, ...words.map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(" ");
}
