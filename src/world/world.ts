import { present } from "../comfy/json.ts";
import { abilities } from "../comfy/versions.ts";
import type { Effect } from "../core/effects.ts";
import type { Fact } from "../core/facts.ts";
import { type ComfyServer, createComfyServer, type PromptEntry } from "../simulator/index.ts";
import { type Agenda, createAgenda } from "./agenda.ts";
import type { AppVariety } from "./app.ts";
import { type Book, check, createBook } from "./book.ts";
import { type Browser, createBrowser } from "./browser-model.ts";
import { createDice, type Dice } from "./dice.ts";
import { createNetwork, type Network, type Site } from "./network-model.ts";
import type { PageModel } from "./page.ts";
import { worldNodesAt } from "./workflows.ts";

export interface WorldOptions extends AppVariety {
  readonly seed: number;
  readonly sites?: number;
  /** Servers behind each address. */
  readonly serversPerSite?: number;
  /** How fast the servers at each site are. Default: all the same. */
  readonly speeds?: readonly number[];
  readonly version?: string;
  /** Default: there are Web Locks, and a SharedWorker. */
  readonly hasLocks?: boolean;
  readonly isSolo?: boolean;
  readonly note?: ((host: string, fact: Fact, effects: readonly Effect[]) => void) | undefined;
  /** What the app does as soon as a page has its first host. */
  readonly begin?: ((page: PageModel) => void) | undefined;
}

/** Everything there is, on one clock and from one seed. */
export interface World {
  readonly agenda: Agenda;
  readonly dice: Dice;
  readonly book: Book;
  readonly network: Network;
  readonly servers: readonly ComfyServer[];
  readonly browser: Browser;
  /** Several servers that know nothing of each other share an address. */
  readonly isDivided: boolean;
  /** Facts that all hosts have taken. */
  readonly steps: number;
  /** How far the wall clock has been set. */
  wallShift: number;
  /** How often a browser or a proxy has sent a POST twice, unseen by anybody. */
  repeats: number;
  /** Runs of which the server has no record any more: nobody can know of them. */
  readonly forgotten: Set<PromptEntry>;
  /** Lets the next thing happen. @returns whether anything has */
  next(until?: number): boolean;
  /** The computer sleeps; the servers do not. */
  sleep(ms: number): void;
}

/** No world needs a tenth of it. */
const turnLimit = 300_000;

export function createWorld(options: WorldOptions): World {
  const {
    seed,
    sites: siteCount = 1,
    serversPerSite = 1,
    speeds = [],
    version = "0.33.0",
    hasLocks,
    isSolo,
    hasAccounts,
    namesLater,
    note,
    begin,
  } = options;
  const agenda = createAgenda();
  const dice = createDice(seed);
  const servers: ComfyServer[] = [];
  const sites: Site[] = Array.from({ length: siteCount }, (_, index) => {
    const own = Array.from({ length: serversPerSite }, () =>
      createComfyServer({
        version,
        startAt: 0,
        keepFrames: 0,
        nodes: worldNodesAt(speeds[index] ?? 1),
        seed: dice.whole(1, 1e9),
      }),
    );
    servers.push(...own);
    return { url: `http://comfy-${index + 1}.test`, servers: own, down: false };
  });
  const network = createNetwork(agenda, dice, sites);
  const book = createBook(
    servers,
    () => agenda.now,
    () => world.isDivided || isSplit(world),
    () => isMortal(world),
    namesLater === true,
  );
  const browser = createBrowser({
    agenda,
    dice,
    network,
    book,
    ...present({ hasLocks, isSolo, hasAccounts, namesLater }),
    wall: () => 1_700_000_000_000 + agenda.now + world.wallShift,
    note,
    begin,
  });

  let turns = 0;
  const world: World = {
    agenda,
    dice,
    book,
    network,
    servers,
    browser,
    isDivided: serversPerSite > 1,
    wallShift: 0,
    repeats: 0,
    forgotten: new Set(),
    get steps() {
      let steps = 0;
      for (const host of browser.hosts) steps += host.steps;
      return steps;
    },
    next(until = Number.POSITIVE_INFINITY) {
      turns += 1;
      check(turns < turnLimit, "G8", "there is no end of what happens");
      let at = agenda.nextAt ?? Number.POSITIVE_INFINITY;
      let server: ComfyServer | undefined;
      for (const one of servers) {
        const due = one.nextAt;
        if (due !== undefined && due < at) [at, server] = [due, one];
      }
      if (at > until || at === Number.POSITIVE_INFINITY) {
        if (until < Number.POSITIVE_INFINITY) agenda.passTo(until);
        return false;
      }
      if (server) {
        agenda.passTo(at);
        server.advanceTo(at);
      } else agenda.runNext();
      browser.lockCheck.after();
      return true;
    },
    sleep(ms) {
      for (const wire of [...network.wires]) wire.cutAtServer(ms + dice.next() * 1_000);
      const until = agenda.now + ms;
      agenda.passTo(until);
      for (const server of servers) server.advanceTo(until);
    },
  };
  return world;
}

/** What was told and remembered only in memory may be gone with its host. */
export const isMortal = ({ browser: { hosts, storage } }: World): boolean =>
  storage.wipes > 0 || hosts.some(({ journal }) => journal.inMemory);

/**
 * Whether hosts could not know of each other: one whose journal was in its memory was left hung, and came
 * back. Nothing keeps it from sending what it had been asked for.
 */
export const isSplit = (world: World): boolean => isMortal(world) && world.browser.left > 0;

/** @throws Error when hosts and servers together break a promise that none of them sees alone */
export function checkWorld(world: World): void {
  const { browser, book, servers } = world;
  const hasOldServers = servers.some(({ version }) => !abilities(version).chosenPromptId);
  let again = 0;
  for (const entry of book.entries.values()) {
    const all = book.runs(entry.promptId);
    const { told } = entry;
    check(told?.type !== "lost" || all.length > 0, "G2", `${entry.taskId} is lost and was never sent`);
    const runs = all.filter(
      (run) => run.startedAt !== undefined && run.removed === undefined && !world.forgotten.has(run),
    );
    // A host that hung since it was submitted, and that nobody could tell to retire, finds no trace of it.
    if (entry.dismissed && !browser.hasLocks) continue;
    again += Math.max(0, runs.length - 1);
  }
  // A server that makes ids of its own cannot be asked for a prompt whose answer was lost.
  check(
    hasOldServers ||
      again <= world.repeats ||
      world.isDivided ||
      world.browser.storage.wipes > 0 ||
      isSplit(world),
    "G5",
    `prompts have run again ${again} times`,
  );
  // Below 0.3.45 a prompt goes out again under the id that the server gave it.
  const owners = new Map<string, string>();
  for (const { promptId, tabId } of book.entries.values())
    for (const id of [promptId, ...book.runs(promptId).map((run) => run.promptId)]) owners.set(id, tabId);
  for (const { server, promptId } of world.network.posted)
    check(
      book.hasNamed(owners.get(promptId) ?? "", server),
      "G9",
      `${promptId} is sent to ${server}, which its tab has never named`,
    );
  for (const { url, servers } of world.network.sites)
    for (const { log } of servers)
      for (const { promptId, askedId } of log.prompts)
        for (const entry of book.entries.values())
          check(
            entry.site === undefined ||
              entry.site === url ||
              (entry.promptId !== promptId && entry.promptId !== askedId),
            "G6",
            `${entry.taskId} is sent to ${url}, where it may not run`,
          );
  for (const host of browser.hosts)
    if (host.state === "live") {
      const { tasks, requests, timers, writes } = host.coordinator;
      check(tasks.size <= book.entries.size, "G8", `${tasks.size} tasks are kept`);
      for (const { url, socketsOpened } of host.coordinator.servers.values())
        check(socketsOpened < 100 + world.agenda.now / 5_000, "G8", `${socketsOpened} sockets to ${url}`);
      check(requests.size < 100 && writes.size < 400 && timers.size < 200, "G8", "orders pile up");
    }
}
