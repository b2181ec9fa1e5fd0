import { isObject } from "../comfy/json.ts";
import type { Effect } from "../core/effects.ts";
import type { Fact } from "../core/facts.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import type { Agenda } from "./agenda.ts";
import { type App, type AppVariety, createApp, declared } from "./app.ts";
import { type Book, check } from "./book.ts";
import type { Dice } from "./dice.ts";
import { createHostModel, type HostModel } from "./host-model.ts";
import { createLockCheck, type LockCheck } from "./lock-check.ts";
import type { Network } from "./network-model.ts";
import type { Identity, PageMeans, PageModel } from "./page.ts";
import { createPage, helloOf } from "./page-model.ts";
import { createStorage, type Storage } from "./storage-model.ts";

/** One tab, across its pages. */
export interface TabModel {
  readonly name: string;
  /** Its `sessionStorage`, as it was last written. */
  stored:
    | {
        readonly tabId: string;
        readonly secret: string;
        readonly tasks: readonly KnownTask[];
      }
    | undefined;
  readonly app: App;
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
  readonly hasLocks: boolean;
  readonly lockCheck: LockCheck;
  /** The hosts that pages find: one, or one for each page where there is no SharedWorker. */
  readonly serving: readonly HostModel[];
  /** @param of a tab that it is a copy of: with what that has stored, in the same app */
  openTab(of?: TabModel): TabModel;
  /** A page is loaded in this tab, and claims the tab's identity. */
  load(tab: TabModel): void;
  unload(tab: TabModel, goodbye: boolean): void;
  /** A stranger says hello to the page's host as that tab, and must learn nothing. */
  impersonate(page: PageModel): void;
  /** The worker's process ends. Where there are locks its own is free, which every page sees within 250 ms. */
  killHost(host: HostModel | undefined): void;
  /** A page has lost patience with the hung host: its lock is stolen, all pages go, and the name with them. */
  leaveHost(host: HostModel): void;
  /** How often that was. */
  readonly left: number;
}

export interface BrowserMeans extends AppVariety {
  readonly agenda: Agenda;
  readonly dice: Dice;
  readonly network: Network;
  readonly book: Book;
  /** Default: there are. */
  readonly hasLocks?: boolean;
  /** No SharedWorker: each page has a worker of its own, which ends with it. */
  readonly isSolo?: boolean;
  wall(): number;
  note?: ((host: string, fact: Fact, effects: readonly Effect[]) => void) | undefined;
  /** What the app does as soon as a page has its first host. */
  begin?: ((page: PageModel) => void) | undefined;
}

/** How long a page waits for the lock on its identity before it takes another (client/identity.ts). */
const claimWaitMs = 2_000;
/** A page takes longer to load than a goodbye to arrive. */
const loadMs = 150;
const noticeMs = 250;
/** The longest that a page without locks waits for a host that hangs (client/host-life.ts). */
const alonePatienceMs = 150_000;

export function createBrowser(browser: BrowserMeans): Browser {
  const { agenda, dice, network, book, wall, note, begin, hasLocks = true, isSolo = false } = browser;
  const tabs: TabModel[] = [];
  const hosts: HostModel[] = [];
  const storage = createStorage();
  const claims = new Map<string, PageModel>();
  const tabOf = new Map<PageModel, TabModel>();
  const serving = new Map<PageModel | "all", HostModel>();
  let [ports, calls, ids, left] = [0, 0, 0, 0];

  function startHost(): HostModel {
    const epoch = `host-${hosts.length + 1}`;
    const host = createHostModel({
      epoch,
      mode: isSolo ? "solo" : "shared",
      agenda,
      dice,
      network,
      storage,
      wall,
      isDead: (other) =>
        hasLocks && hosts.every((one) => one.epoch !== other || one.state === "dead" || one.isLeft),
      // Without locks it has to answer.
      isTabThere: (tabId) => !isFree(tabId) && (hasLocks || !claims.get(tabId)?.isStill),
      note: note && ((fact, effects) => note(epoch, fact, effects)),
    });
    hosts.push(host);
    return host;
  }

  function hostFor(page: PageModel): HostModel {
    const key = isSolo ? page : "all";
    const known = serving.get(key);
    if (known && known.state !== "dead") return known;
    const host = startHost();
    serving.set(key, host);
    return host;
  }

  /** @returns whether pages have found it until now */
  function serveNoMore(host: HostModel): boolean {
    // Whether or not they have noticed: for all others they are away.
    for (const { page } of tabs) if (page?.host === host) book.left(page.identity.tabId);
    for (const [key, one] of serving) if (one === host) return serving.delete(key);
    return false;
  }

  const fresh = (): Identity => {
    ids += 1;
    return { tabId: `tab-${ids}`, secret: `secret-${ids}`, isNew: true, tasks: new Map() };
  };

  const means: PageMeans = {
    agenda,
    dice,
    book,
    storage,
    network,
    hasLocks,
    hasClaimed: hasLocks || dice.chance(0.7),
    host: hostFor,
    letGo(page, host) {
      if (!isSolo) return;
      host.kill();
      if (serving.get(page) === host) serving.delete(page);
    },
    nextPort: () => ++ports,
    nextCall: () => ++calls,
    begin: (page) => begin?.(page),
    lockLost: (page, lock) => self.lockCheck.lost(page, lock),
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

  const self: Browser = {
    tabs,
    hosts,
    storage,
    hasLocks,
    get lockCheck() {
      return lockCheck;
    },
    get serving() {
      return [...serving.values()];
    },
    get left() {
      return left;
    },
    openTab(of) {
      const app = createApp(network.sites, dice, browser);
      const tab: TabModel = {
        name: `t${tabs.length + 1}`,
        stored: of?.stored,
        app: of ? { ...app, accounts: new Map(of.app.accounts) } : app,
        page: undefined,
        isOpen: true,
      };
      tabs.push(tab);
      return tab;
    },
    load(tab) {
      const { stored } = tab;
      const identity: Identity = stored
        ? {
            ...stored,
            isNew: false,
            tasks: new Map(stored.tasks.map((task) => [task.taskId, task])),
          }
        : fresh();
      const page = createPage(means, identity, tab.app);
      tab.page = page;
      tabOf.set(page, tab);
      tab.isOpen = true;
      const start = (): void => {
        if (!page.isAlive) return;
        if (!hasLocks || isFree(page.identity.tabId)) claims.set(page.identity.tabId, page);
        else means.renew(page);
        means.save(page);
        page.start();
      };
      if (!hasLocks) agenda.after(loadMs, start);
      else if (isFree(identity.tabId)) start();
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
    impersonate(page) {
      const { host, identity } = page;
      if (!page.greeted || host?.state !== "live") return;
      ports += 1;
      calls += 1;
      const port = ports;
      host.addPort(port, {
        events: (_, events) =>
          check(!events.some(({ kind }) => kind === "task"), "G1", "a stranger hears of a task"),
        answer: (_, answer) =>
          check(
            "ok" in answer && isObject(answer.ok) && "refused" in answer.ok,
            "G1",
            "a stranger is welcome",
          ),
      });
      const servers = page.app.servers.map(({ url }) => declared(page.app, url));
      const hello = helloOf({ ...identity, secret: "guessed" }, { ...means, hasClaimed: true }, servers);
      host.tell({ type: "tab-said-hello", port, call: calls, hello });
      agenda.after(1_000, () => {
        host.removePort(port);
        host.tell({ type: "tab-gone", port });
      });
    },
    killHost(host) {
      if (!host || !serveNoMore(host)) return;
      host.kill();
      if (!hasLocks) return;
      for (const { page } of tabs) if (page) agenda.after(dice.next() * noticeMs, () => page.hostGone(host));
    },
    leaveHost(host) {
      if (host.state !== "hung" || !serveNoMore(host)) return;
      left += 1;
      if (hasLocks && !isSolo) host.leave();
      // Without locks each page finds out by itself.
      for (const { page } of tabs)
        if (page)
          agenda.after(hasLocks ? dice.delay(2) : dice.next() * alonePatienceMs, () => page.hostGone(host));
    },
  };
  const lockCheck = createLockCheck(self, agenda);
  return self;
}
