import type { Effect } from "../core/effects.ts";
import type { Fact } from "../core/facts.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import type { Agenda } from "./agenda.ts";
import type { Book } from "./book.ts";
import type { Dice } from "./dice.ts";
import { createHostModel, type HostModel } from "./host-model.ts";
import type { Network } from "./network-model.ts";
import type { Identity, PageMeans, PageModel } from "./page.ts";
import { createPage } from "./page-model.ts";
import { createStorage, type Storage } from "./storage-model.ts";

/** One tab, across its pages. */
export interface TabModel {
  readonly name: string;
  /** Its `sessionStorage`, as it was last written. */
  stored:
    | { readonly tabId: string; readonly secret: string; readonly tasks: readonly KnownTask[] }
    | undefined;
  page: PageModel | undefined;
  /** Whether there is a tab: it can be closed and opened again with what it had stored. */
  isOpen: boolean;
}

/** One browser: tabs, the worker that they share, and the storage that outlives both. */
export interface Browser {
  readonly tabs: readonly TabModel[];
  /** All hosts there have been. */
  readonly hosts: readonly HostModel[];
  readonly storage: Storage;
  readonly current: HostModel | undefined;
  openTab(stored?: TabModel["stored"]): TabModel;
  /** A page is loaded in this tab, and claims the tab's identity. */
  load(tab: TabModel): void;
  unload(tab: TabModel, goodbye: boolean): void;
  /** The worker's process ends. Its lock is free, which every page sees within 250 ms. */
  killHost(): void;
  /** A page has lost patience with the hung host: its lock is stolen, all pages go, and the name with them. */
  leaveHost(host: HostModel): void;
  /** How often that was. */
  readonly left: number;
}

export interface BrowserMeans {
  readonly agenda: Agenda;
  readonly dice: Dice;
  readonly network: Network;
  readonly book: Book;
  wall(): number;
  note?: ((host: string, fact: Fact, effects: readonly Effect[]) => void) | undefined;
}

/** How long a page waits for the lock on its identity before it takes another (client/identity.ts). */
const claimWaitMs = 2_000;
const noticeMs = 250;

export function createBrowser({ agenda, dice, network, book, wall, note }: BrowserMeans): Browser {
  const tabs: TabModel[] = [];
  const hosts: HostModel[] = [];
  const storage = createStorage();
  const claims = new Map<string, PageModel>();
  const tabOf = new Map<PageModel, TabModel>();
  let current: HostModel | undefined;
  let [ports, calls, ids, left] = [0, 0, 0, 0];

  function startHost(): HostModel {
    const epoch = `host-${hosts.length + 1}`;
    current = createHostModel({
      epoch,
      agenda,
      dice,
      network,
      storage,
      wall,
      isDead: (other) => hosts.every((host) => host.epoch !== other || host.state === "dead" || host.isLeft),
      note: note && ((fact, effects) => note(epoch, fact, effects)),
    });
    hosts.push(current);
    return current;
  }

  const fresh = (): Identity => {
    ids += 1;
    return { tabId: `tab-${ids}`, secret: `secret-${ids}`, isNew: true, tasks: new Map() };
  };

  const means: PageMeans = {
    agenda,
    dice,
    book,
    sites: network.sites,
    host: () => (current && current.state !== "dead" ? current : startHost()),
    nextPort: () => ++ports,
    nextCall: () => ++calls,
    renew(page) {
      if (claims.get(page.identity.tabId) === page) claims.delete(page.identity.tabId);
      page.identity = fresh();
      claims.set(page.identity.tabId, page);
      means.save(page);
    },
    save(page) {
      const tab = tabOf.get(page);
      const { tabId, secret, tasks } = page.identity;
      if (tab) tab.stored = { tabId, secret, tasks: [...tasks.values()] };
    },
  };

  const isFree = (tabId: string): boolean => {
    const holder = claims.get(tabId);
    return holder === undefined || !holder.isAlive;
  };

  return {
    tabs,
    hosts,
    storage,
    get current() {
      return current;
    },
    get left() {
      return left;
    },
    openTab(stored) {
      const tab: TabModel = { name: `t${tabs.length + 1}`, stored, page: undefined, isOpen: true };
      tabs.push(tab);
      return tab;
    },
    load(tab) {
      const { stored } = tab;
      const identity: Identity = stored
        ? { ...stored, isNew: false, tasks: new Map(stored.tasks.map((task) => [task.taskId, task])) }
        : fresh();
      const page = createPage(means, identity);
      tab.page = page;
      tabOf.set(page, tab);
      tab.isOpen = true;
      const start = (): void => {
        if (!page.isAlive) return;
        if (isFree(page.identity.tabId)) claims.set(page.identity.tabId, page);
        else means.renew(page);
        means.save(page);
        page.start();
      };
      if (isFree(identity.tabId)) start();
      else agenda.after(claimWaitMs, start);
    },
    unload(tab, goodbye) {
      const { page } = tab;
      if (!page) return;
      if (goodbye && page.isAlive) means.save(page);
      if (claims.get(page.identity.tabId) === page) claims.delete(page.identity.tabId);
      tab.page = undefined;
      tabOf.delete(page);
      page.end(goodbye);
    },
    killHost() {
      const host = current;
      if (!host) return;
      current = undefined;
      host.kill();
      for (const { page } of tabs) if (page) agenda.after(dice.next() * noticeMs, () => page.hostGone(host));
    },
    leaveHost(host) {
      if (current !== host || host.state !== "hung") return;
      current = undefined;
      left += 1;
      host.leave();
      for (const { page } of tabs) if (page) agenda.after(dice.delay(2), () => page.hostGone(host));
    },
  };
}
