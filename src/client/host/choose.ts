import { ComfyTabsError } from "../../protocol/errors.ts";
import type { HostMode } from "../../protocol/session-api.ts";
import type { HostPort, Platform, WorkerSource } from "../platform.ts";

export interface Chosen {
  readonly mode: HostMode;
  readonly host: HostPort;
}

/** The hosts to try, best first. @throws {@link ComfyTabsError} `unsupported-environment` */
export function hostsToTry(
  platform: Platform,
  wanted: "auto" | HostMode,
  source: WorkerSource,
  name: string,
): (() => Chosen)[] {
  const { makeShared, makeSolo } = platform;
  const hosts: (() => Chosen)[] = [];
  if (makeShared && wanted !== "solo") hosts.push(() => ({ mode: "shared", host: makeShared(source, name) }));
  else if (makeSolo && wanted === "auto")
    hosts.push(() => {
      throw new Error("there is no SharedWorker");
    });
  if (makeSolo && wanted !== "shared") hosts.push(() => ({ mode: "solo", host: makeSolo(source, name) }));
  if (hosts.length > 0) return hosts;
  const missing = wanted === "shared" ? "SharedWorker" : "Worker";
  throw new ComfyTabsError("unsupported-environment", `There is no ${missing} here.`, { missing });
}
