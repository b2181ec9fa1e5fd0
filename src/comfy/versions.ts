import { asObject, asString, parseJson } from "./json.ts";

/** Older ones were not measured, and are not served. */
export const oldestVersion = "0.3.42";

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

/**
 * What to expect of a server. Of an unknown version the newest is expected where a mistake shows by itself or
 * does nothing (ids, previews), and nothing where a mistake hits other people's prompts or only costs an error
 * (interrupts, jobs).
 */
export function abilities(version: string | undefined): Abilities {
  const known = version !== undefined && dotted.test(version);
  const since = (first: string): boolean => known && compareVersions(version, first) >= 0;
  return {
    chosenPromptId: !known || since("0.3.45"),
    metadataPreviews: !known || since("0.3.45"),
    targetedInterrupt: since("0.3.57"),
    jobs: since("0.6.0"),
    uuidOnly: !known || since("0.25.0"),
    cancelJob: since("0.26.0"),
  };
}

/**
 * Negative, zero or positive, as `a` is older than, the same as or newer than `b`. A `v` in front and whatever
 * follows the third number do not count: a development version is taken for the release it is named after.
 */
export const compareVersions = (a: string, b: string): number => rank(a) - rank(b);

function rank(version: string): number {
  const [major = 0, minor = 0, patch = 0] = numbersOf(version);
  return (major * 1e5 + minor) * 1e5 + patch;
}

const dotted = /\d+(?:\.\d+)+/;
const numbersOf = (version: string): number[] => (dotted.exec(version)?.[0] ?? "").split(".").map(Number);
