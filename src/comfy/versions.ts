import { asObject, asString, parseJson } from "./json.ts";

/** What a server of some version can do. */
export interface Abilities {
  /** 0.3.45: takes the prompt id that we choose; before, it is ignored without a word. */
  readonly chosenPromptId: boolean;
  /** 0.3.45: previews that name their prompt and node. */
  readonly metadataPreviews: boolean;
  /** 0.3.57: `/interrupt` with a prompt id stops that prompt only; before, whatever runs. */
  readonly targetedInterrupt: boolean;
  /** 0.6: `/api/jobs`. */
  readonly jobs: boolean;
  /** 0.25: prompt ids must be canonical UUIDs. */
  readonly uuidOnly: boolean;
  /** 0.26: `/api/jobs/{id}/cancel`, atomic. */
  readonly cancelJob: boolean;
}

/** The version in an answer to `GET /system_stats`. */
export const readVersion = (text: string): string | undefined =>
  asString(asObject(asObject(parseJson(text)).system).comfyui_version);

export function abilities(version: string): Abilities {
  const since = (first: string): boolean => compareVersions(version, first) >= 0;
  return {
    chosenPromptId: since("0.3.45"),
    metadataPreviews: since("0.3.45"),
    targetedInterrupt: since("0.3.57"),
    jobs: since("0.6.0"),
    uuidOnly: since("0.25.0"),
    cancelJob: since("0.26.0"),
  };
}

/** Negative, zero or positive, as `a` is older than, the same as or newer than `b`. `v` and suffixes do not count. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  for (let place = 0; place < 3; place += 1) {
    const difference = (left[place] ?? 0) - (right[place] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

const numbersOf = (version: string): number[] => (version.match(/\d+/g) ?? []).slice(0, 3).map(Number);
