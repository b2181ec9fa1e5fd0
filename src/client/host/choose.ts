import type { HostMode } from "../../protocol/session-api.ts";
import type { HostPort, Platform, WorkerSource } from "../platform.ts";

export interface Chosen {
  readonly mode: HostMode;
  readonly host: HostPort;
}

/** The hosts to try, best first: each throws where there is none of its kind. */
export function hostsToTry(
  { makeShared, makeSolo }: Platform,
  wanted: "auto" | HostMode,
  source: WorkerSource,
  name: string,
): (() => Chosen)[] {
  const hosts: (() => Chosen)[] = [];
  if (wanted !== "solo")
    hosts.push(() => ({ mode: "shared", host: (makeShared ?? missing("SharedWorker"))(source, name) }));
  if (wanted !== "shared")
    hosts.push(() => ({ mode: "solo", host: (makeSolo ?? missing("Worker"))(source, name) }));
  return hosts;
}

function missing(kind: string): never {
  throw new Error(`there is no ${kind}`);
}
