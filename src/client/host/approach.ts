import { workerName } from "../../protocol/names.ts";
import type { HostMode } from "../../protocol/session-api.ts";
import type { Generation } from "../generation.ts";
import { createPortLock, type PortLock } from "../locks.ts";
import type { CheckedOptions } from "../options.ts";
import type { Platform } from "../platform.ts";
import { type Chosen, hostsToTry } from "./choose.ts";

/** A way to a host that has begun: the answers of the browser take as long as all else of a handshake together. */
export interface Approach {
  readonly generation: number;
  /** For the first of the hosts. */
  readonly portLock: PortLock;
  /** Best first. The first one's worker is on its way already; taking it says why where it is not. */
  readonly hosts: readonly (() => Chosen)[];
}

export function approachHost(
  platform: Platform,
  { name, worker }: CheckedOptions,
  mode: "auto" | HostMode,
  generations: Generation,
): Approach {
  const generation = generations.current();
  const [first, ...others] = hostsToTry(platform, mode, worker, workerName(name, generation));
  return { generation, hosts: [begun(first!), ...others], portLock: createPortLock(platform.locks) };
}

function begun(choose: () => Chosen): () => Chosen {
  try {
    const chosen = choose();
    return () => chosen;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
