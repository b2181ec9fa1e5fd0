import { nanoid } from "nanoid";
import type { TabId } from "../protocol/ids.ts";
import { identityKey, identityLock } from "../protocol/names.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import type { Request } from "./calls.ts";
import { askFor, holdLock } from "./locks.ts";
import type { Platform } from "./platform.ts";

/** A reload lets go of the old page's claim within milliseconds; a duplicated tab's original never does. */
const claimWaitMs = 2_000;

/** Without Web Locks the pages of a tab ask each other: an original answers at once, unless it is busy. */
const askMs = 500;

const soonMs = 100;

/** A hello has to fit into one argument of a call: a host that refused it would refuse this tab for ever. */
const most = { tasks: 2_000, characters: 512 * 1024 };

/** Who this tab is, and what it remembers of its tasks: across reloads, but not across a duplication. */
export interface Identity {
  readonly tabId: string;
  readonly secret: string;
  /** Minted by this page, and no host has heard of it yet. */
  readonly isNew: boolean;
  introduced(): void;
  /** Claims it, becomes a new tab where another page has it, and writes it down: to be called once, before long. */
  keep(): Promise<void>;
  /** The open tasks that the storage held when this page became this tab. */
  readonly tasks: readonly KnownTask[];
  /** Claims the id again, e.g. after the back/forward cache. @returns false where another page has it now */
  claim(): Promise<boolean>;
  /** Lets others claim it; a waiting claim would evict a page from the back/forward cache. */
  release(): void;
  /** Becomes a new tab without tasks. */
  renew(): Promise<void>;
  /** Writes down what is remembered. Storage that is denied or full costs only memory across reloads. */
  save(tasks: readonly Request<KnownTask>[]): void;
  /** The same in a moment, for many changes at once, unless this page is not that tab any more. */
  saveSoon(tasks: () => readonly Request<KnownTask>[]): void;
  /** What another page of this tab has written since, if one has. */
  news(): readonly KnownTask[] | undefined;
}

export function createIdentity(platform: Platform, name: string): Identity {
  let written = stored(platform, name);
  const remembered = read(written);
  let isNew = remembered === undefined;
  let { tabId, secret, tasks } = remembered ?? fresh();
  let unlock: (() => void) | undefined;
  let saving: ReturnType<typeof setTimeout> | undefined;

  const identity: Identity = {
    get tabId() {
      return tabId;
    },
    get secret() {
      return secret;
    },
    get isNew() {
      return isNew;
    },
    async keep() {
      if (await identity.claim()) identity.save(tasks);
      else await identity.renew();
    },
    introduced() {
      isNew = false;
    },
    get tasks() {
      return tasks;
    },
    async claim() {
      const { locks } = platform;
      if (unlock) return true;
      const lock = identityLock(name, tabId as TabId);
      let held: ReturnType<typeof holdLock>;
      let letGo: () => void;
      if (locks) {
        // Where locks are refused there are none, and the host tells a duplicate by its original's port.
        held = holdLock(locks, lock, claimWaitMs).catch(() => () => {});
        letGo = () => void held.then((free) => free?.());
      } else {
        const channel = opened(platform, lock);
        if (!channel) return true;
        held = askFor(channel, isNew ? 0 : askMs);
        letGo = () => channel.close();
      }
      // Also before it is granted: a page that goes and comes back meanwhile would take its own claim for another's.
      unlock = letGo;
      // Nobody else can have a new one: there is nothing to wait for.
      if (isNew || (await held)) return true;
      if (unlock === letGo) unlock = undefined;
      return false;
    },
    release() {
      clearTimeout(saving);
      saving = undefined;
      unlock?.();
      unlock = undefined;
    },
    async renew() {
      identity.release();
      ({ tabId, secret, tasks } = fresh());
      isNew = true;
      await identity.claim();
      identity.save(tasks);
    },
    save(known) {
      const json = JSON.stringify({ tabId, secret, tasks: known });
      // Somebody may have cleared it: a tab that forgets who it is loses its tasks.
      if (json === written && stored(platform, name) !== undefined) return;
      try {
        platform.storage().setItem(identityKey(name) + platform.frame, json);
        written = json;
      } catch {
        // Denied or full: the host still knows the tab for as long as this page lives.
      }
    },
    saveSoon(known) {
      saving ??= setTimeout(() => {
        saving = undefined;
        identity.save(known());
      }, soonMs);
    },
    news() {
      const now = stored(platform, name);
      const other = now === written ? undefined : read(now);
      if (other?.tabId !== tabId) return undefined;
      written = now;
      return other.tasks;
    },
  };
  return identity;
}

/**
 * What is to be remembered, as far as it goes: first what is open, of that what has told the most, for a new host has
 * to count on from there, or its news would be taken for old; then the newest.
 */
export function newest(known: readonly Request<KnownTask>[]): Request<KnownTask>[] {
  const kept = new Set<Request<KnownTask>>();
  let characters = 0;
  for (const task of [...known].reverse().sort((a, b) => +a.settled - +b.settled || b.lastSeq - a.lastSeq)) {
    characters += JSON.stringify(task).length;
    if (kept.size === most.tasks || characters > most.characters) break;
    kept.add(task);
  }
  return known.filter((task) => kept.has(task));
}

const fresh = (): { tabId: string; secret: string; tasks: readonly KnownTask[] } => ({
  tabId: nanoid(),
  secret: nanoid(),
  tasks: [],
});

/** Firefox refuses channels where it refuses storage, of which a duplicated tab would be a copy. */
function opened({ openChannel }: Platform, name: string): BroadcastChannel | undefined {
  try {
    return openChannel?.(name);
  } catch {
    return undefined;
  }
}

function stored(platform: Platform, name: string): string | undefined {
  try {
    return platform.storage().getItem(identityKey(name) + platform.frame) ?? undefined;
  } catch {
    return undefined; // denied
  }
}

function read(json: string | undefined): ReturnType<typeof fresh> | undefined {
  if (json === undefined) return undefined;
  try {
    const { tabId, secret, tasks } = JSON.parse(json);
    if (typeof tabId !== "string" || typeof secret !== "string") return undefined;
    return { tabId, secret, tasks: tasks.filter(({ taskId }: KnownTask) => typeof taskId === "string") };
  } catch {
    return undefined; // not readable: a new tab
  }
}
