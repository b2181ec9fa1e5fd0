import { nanoid } from "nanoid";
import type { TabId } from "../protocol/ids.ts";
import { identityKey, identityLock } from "../protocol/names.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import { holdLock } from "./locks.ts";
import type { Platform } from "./platform.ts";

/** A reload lets go of the old page's claim within milliseconds; a duplicated tab's original never does. */
const claimWaitMs = 2_000;

/** Who this tab is, and what it remembers of its tasks: across reloads, but not across a duplication. */
export interface Identity {
  readonly tabId: string;
  readonly secret: string;
  readonly tasks: Map<string, KnownTask>;
  /** Claims the id again, e.g. after the back/forward cache. @returns false where another page has it now */
  claim(): Promise<boolean>;
  /** Lets others claim it; a waiting claim would evict a page from the back/forward cache. */
  release(): void;
  /** Becomes a new tab without tasks. */
  renew(): Promise<void>;
  /** Writes down what is remembered. Storage that is denied or full costs only memory across reloads. */
  save(): void;
}

export async function claimIdentity(platform: Platform, name: string): Promise<Identity> {
  let { tabId, secret, tasks } = read(platform, name) ?? fresh();
  let unlock: (() => void) | undefined;

  const identity = {
    get tabId() {
      return tabId;
    },
    get secret() {
      return secret;
    },
    get tasks() {
      return tasks;
    },
    async claim() {
      if (!platform.locks) return true;
      unlock ??= await holdLock(platform.locks, identityLock(name, tabId as TabId), claimWaitMs);
      return unlock !== undefined;
    },
    release() {
      unlock?.();
      unlock = undefined;
    },
    async renew() {
      identity.release();
      ({ tabId, secret, tasks } = fresh());
      await identity.claim();
      identity.save();
    },
    save() {
      try {
        const remembered = { tabId, secret, tasks: [...tasks.values()] };
        platform.storage().setItem(identityKey(name), JSON.stringify(remembered));
      } catch {
        // Denied or full: the host still knows the tab for as long as this page lives.
      }
    },
  };
  if (!(await identity.claim())) await identity.renew();
  identity.save();
  return identity;
}

const fresh = () => ({ tabId: nanoid(), secret: nanoid(), tasks: new Map<string, KnownTask>() });

function read(platform: Platform, name: string): ReturnType<typeof fresh> | undefined {
  try {
    const { tabId, secret, tasks } = JSON.parse(platform.storage().getItem(identityKey(name)) ?? "null");
    if (typeof tabId !== "string" || typeof secret !== "string" || !Array.isArray(tasks)) return undefined;
    return { tabId, secret, tasks: new Map(tasks.map((task: KnownTask) => [task.taskId, task])) };
  } catch {
    return undefined; // nothing there, or nothing readable: a new tab
  }
}
