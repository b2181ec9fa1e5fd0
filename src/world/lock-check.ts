import type { Agenda } from "./agenda.ts";
import { check } from "./book.ts";
import type { Browser } from "./browser-model.ts";
import type { HostModel } from "./host-model.ts";
import type { PageModel } from "./page.ts";
import type { PageLock } from "./page-locks.ts";

/** The server locks of all tabs, as the pages see them. */
export interface LockCheck {
  /** To be called after whatever happens. @throws Error */
  after(): void;
  /** A new host has not granted again what the page held. @throws Error where that should not be */
  lost(page: PageModel, lock: PageLock): void;
  /** What pages still wait for, and what hosts keep that nobody has. */
  owed(): string[];
}

/** So long the news of a theft may be on its way to a page that is awake. */
const newsMs = 1_000;
/** What a page held is its own again if it comes to the next host this soon, all delays on the way included. */
const returnMs = 1_500;

const share = (one: readonly string[], other: readonly string[]): boolean =>
  one.some((server) => other.includes(server));

/** Said without the core's own code: not both shared, and some server in both. */
const clash = (one: PageLock, other: PageLock): boolean =>
  !(one.request.mode === "shared" && other.request.mode === "shared") &&
  share(one.serverIds, other.serverIds);

export function createLockCheck(browser: Browser, agenda: Agenda): LockCheck {
  /** How long each has been believed in error, by a page that could have known. */
  const inError = new Map<PageLock, number>();
  /** By host, what it has granted again or to a thief. */
  const firm = new Map<HostModel, Set<readonly string[]>>();
  let checkedAt = 0;

  /** Whether the host that has the name now says so, too; one that hangs has not said anything else. */
  function isBacked(page: PageModel, lockId: string): boolean {
    const { host } = page;
    return (
      page.greeted &&
      host !== undefined &&
      host.state !== "dead" &&
      browser.serving.includes(host) &&
      host.coordinator.locks.table.find(page.identity.tabId, lockId)?.isHeld === true
    );
  }

  const isInformed = (page: PageModel): boolean =>
    page.greeted && !page.isStill && page.host?.state === "live" && browser.serving.includes(page.host);

  return {
    after() {
      const passed = Math.min(agenda.now - checkedAt, 50);
      checkedAt = agenda.now;
      for (const host of browser.hosts)
        for (const { isFirm, serverIds } of host.state === "live" ? host.coordinator.locks.table.held : [])
          if (isFirm) firm.set(host, (firm.get(host) ?? new Set()).add(serverIds));
      const backed: { readonly page: PageModel; readonly lock: PageLock }[] = [];
      for (const { page } of browser.tabs) {
        if (!page || page.locks.entries.size === 0) continue;
        for (const [lockId, lock] of page.locks.entries) {
          if (lock.at !== "held") continue;
          if (isBacked(page, lockId)) {
            backed.push({ page, lock });
            inError.delete(lock);
          } else if (isInformed(page)) {
            const ms = (inError.get(lock) ?? 0) + passed;
            inError.set(lock, ms);
            check(ms < newsMs, "G7", `${page.identity.tabId} is not told that it has lost ${lockId}`);
          }
        }
      }
      for (const one of backed)
        for (const other of backed)
          check(
            one.page === other.page || !clash(one.lock, other.lock),
            "mutual exclusion",
            `${one.page.identity.tabId} and ${other.page.identity.tabId} both have ${one.lock.serverIds}`,
          );
    },
    lost(page, lost) {
      const { startedAt = 0 } = page.host?.coordinator.locks ?? {};
      if (!page.host || agenda.now - startedAt >= returnMs) return;
      const others = firm.get(page.host) ?? [];
      check(
        [...others].some((servers) => share(servers, lost.serverIds)),
        "mutual exclusion",
        `${page.identity.tabId} came back at once, and ${lost.request.lockId} is another's`,
      );
    },
    owed() {
      const list: string[] = [];
      const known = new Set<string>();
      for (const { page } of browser.tabs)
        for (const [lockId, { at }] of page?.locks.entries ?? []) {
          known.add(lockId);
          list.push(`${lockId} is ${at === "asked" ? "asked for" : at}`);
        }
      for (const host of browser.serving) {
        if (host.state !== "live") continue;
        const { held, waiting } = host.coordinator.locks.table;
        for (const { lockId, tabId } of [...held, ...waiting])
          if (!known.has(lockId)) list.push(`${host.epoch} keeps ${lockId} of ${tabId}, and nobody has it`);
      }
      return list;
    },
  };
}
