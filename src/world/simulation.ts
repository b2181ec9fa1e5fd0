import { present } from "../comfy/json.ts";
import type { Answer, Submission } from "../protocol/session-api.ts";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import type { Entry } from "./book.ts";
import type { TabModel } from "./browser-model.ts";
import { createDice, type Dice, mintPromptId } from "./dice.ts";
import { type FaultKind, faultKinds, faults, heal } from "./faults.ts";
import type { PageModel } from "./page.ts";
import type { Transcript } from "./transcript.ts";
import { type Kind, workflowOf } from "./workflows.ts";
import { checkWorld, createWorld, isMortal, type World } from "./world.ts";

/** Something that a schedule lets happen: a fault, or what tabs do all day. */
export type ActKind =
  | FaultKind
  | "submit"
  | "register"
  | "cancel"
  | "dismiss"
  | "lock"
  | "unlock"
  | "sign-in";

export interface Act {
  readonly kind: ActKind;
  /** After so many steps. */
  readonly gap: number;
  /** Its own chance, so that leaving out another one changes nothing in it. */
  readonly salt: number;
}

export interface Schedule {
  readonly seed: number;
  readonly tabs: number;
  readonly sites: number;
  readonly serversPerSite: number;
  readonly version: string;
  readonly hasLocks: boolean;
  readonly isSolo: boolean;
  readonly hasAccounts: boolean;
  readonly namesLater: boolean;
  /** Whether every page locks a server as soon as it has a host. */
  readonly locksFirst: boolean;
  readonly acts: readonly Act[];
}

export interface Outcome {
  readonly seed: number;
  readonly steps: number;
  readonly virtualMs: number;
  /** Kinds of the faults that took place, in order. */
  readonly faults: readonly FaultKind[];
  readonly tasks: number;
  readonly endings: Readonly<Record<string, number>>;
  /** Tasks that ran more than once, and the twins that hosts saw and removed. */
  readonly twice: number;
  readonly twins: { readonly seen: number; readonly removed: number };
  readonly failure: string | undefined;
}

export interface SimulationOptions {
  /** Only these faults may happen. */
  readonly kinds?: readonly FaultKind[];
  /** Places in the schedule that are left out. */
  readonly without?: ReadonlySet<number>;
  /** Default: usual */
  readonly size?: WorldSize;
  readonly transcript?: Transcript;
}

const kinds: readonly Kind[] = [
  "quick",
  "quick",
  "steps",
  "steps",
  "fails",
  "long",
  "blocked",
  "unheard",
  "invalid",
];

/** What a server accepts. */
const registrable = kinds.filter((kind) => kind !== "invalid");

/** In so many worlds tabs lock servers, send prompts by themselves, have accounts, and name some servers later. */
const lockShare = 0.7;
const registerShare = 0.4;
const accountShare = 0.25;
const laterShare = 0.4;

type Range = readonly [from: number, to: number];

/** How much goes on in a world. */
interface Size {
  readonly tabs: Range;
  /** Where there are several. */
  readonly sites: number;
  readonly submits: Range;
  readonly registers: Range;
  readonly cancels: Range;
  readonly dismissals: Range;
  readonly faults: Range;
  /** The longest gap between two acts is one of these. */
  readonly paces: readonly number[];
}

/** Crowded worlds are slower, and find what takes many at once. */
const sizes = {
  usual: {
    tabs: [1, 4],
    sites: 2,
    submits: [3, 12],
    registers: [1, 4],
    cancels: [0, 4],
    dismissals: [0, 3],
    faults: [4, 20],
    paces: [5, 20, 60],
  },
  crowded: {
    tabs: [2, 7],
    sites: 3,
    submits: [8, 30],
    registers: [1, 10],
    cancels: [0, 10],
    dismissals: [0, 8],
    faults: [15, 60],
    paces: [2, 5, 20, 60, 200],
  },
} satisfies Record<string, Size>;
export type WorldSize = keyof typeof sizes;
export const worldSizes = Object.keys(sizes) as WorldSize[];

export function scheduleOf(
  seed: number,
  allowed: readonly FaultKind[] = faultKinds,
  worldSize: WorldSize = "usual",
): Schedule {
  const size: Size = sizes[worldSize];
  const dice = createDice(seed * 2_654_435_761);
  const acts: Act[] = [];
  const add = (kind: ActKind, count: number): void => {
    for (; count > 0; count -= 1) acts.push({ kind, gap: 0, salt: dice.whole(1, 2 ** 31) });
  };
  add("submit", dice.whole(...size.submits));
  if (dice.chance(registerShare)) add("register", dice.whole(...size.registers));
  add("cancel", dice.whole(...size.cancels));
  add("dismiss", dice.whole(...size.dismissals));
  const hasAccounts = dice.chance(accountShare);
  const possible = allowed.filter((kind) => hasAccounts || kind !== "account-refused");
  if (hasAccounts) {
    add("sign-in", dice.whole(0, 4));
    if (possible.includes("account-refused")) add("account-refused", dice.whole(1, 6));
  }
  // What is held at one account's server does not follow its tab to another's.
  if (!hasAccounts && dice.chance(lockShare)) {
    add("lock", dice.whole(2, 8));
    add("unlock", dice.whole(0, 3));
  }
  const faultCount =
    possible.length === 0 ? 0 : dice.chance(0.1) ? dice.whole(0, 3) : dice.whole(...size.faults);
  for (let count = faultCount; count > 0; count -= 1) add(dice.pick(possible)!, 1);
  for (let place = acts.length - 1; place > 0; place -= 1) {
    const other = dice.whole(0, place);
    [acts[place], acts[other]] = [acts[other]!, acts[place]!];
  }
  const pace = dice.pick(size.paces)!;
  return {
    seed,
    tabs: dice.whole(...size.tabs),
    sites: dice.chance(0.6) ? 1 : size.sites,
    serversPerSite: dice.chance(0.04) ? 2 : 1,
    version: dice.pick(["0.33.0", "0.33.0", "0.33.0", "0.12.1", "0.12.1", "0.3.64", "0.3.64", "0.3.42"])!,
    hasLocks: dice.chance(0.8),
    isSolo: dice.chance(0.15),
    hasAccounts,
    namesLater: dice.chance(laterShare),
    locksFirst: !hasAccounts && dice.chance(0.15),
    acts: acts.map((act) => ({ ...act, gap: dice.whole(1, pace) })),
  };
}

/** The longest time between two acts where nothing happens, and for all to settle afterwards. */
const patienceMs = 15_000;
const settleMs = 600_000;
/** Patience with a silent socket doubles up to a minute, and a task of these lasts twelve seconds. */
const hearingTries = 12;

/** Until hosts have given up the pages that say nothing. */
const silenceMs = 8 * 60_000;

function waitForSilence(world: World): void {
  const until = world.agenda.now + silenceMs;
  while (world.next(until));
}

/** Runs one seed from its start to its end. */
export function simulate(seed: number, options: SimulationOptions = {}): Outcome {
  const schedule = scheduleOf(seed, options.kinds, options.size);
  const { transcript } = options;
  let begun = 0;
  const world = createWorld({
    ...schedule,
    note: transcript?.noteStep,
    begin(page) {
      begun += 1;
      if (schedule.locksFirst && !isOver) want(page, world.dice, `first-${begun}`);
    },
  });
  let isOver = false;
  transcript?.begin(world, schedule);
  const happened: FaultKind[] = [];
  let failure: string | undefined;
  try {
    for (let count = schedule.tabs; count > 0; count -= 1) world.browser.load(world.browser.openTab());
    for (const [place, act] of schedule.acts.entries()) {
      const target = world.steps + act.gap;
      const until = world.agenda.now + patienceMs;
      while (world.steps < target && world.next(until));
      if (options.without?.has(place)) continue;
      const dice = createDice(act.salt);
      if (act.kind === "submit") submit(world, dice);
      else if (act.kind === "register") register(world, dice);
      else if (act.kind === "sign-in") signIn(world, dice);
      else if (act.kind === "cancel") cancel(world, dice);
      else if (act.kind === "dismiss") dismiss(world, dice);
      else if (act.kind === "lock") lock(world, dice, `lock-${place}`);
      else if (act.kind === "unlock") unlock(world, dice);
      else if (faults[act.kind](world, dice)) happened.push(act.kind);
      else continue;
      transcript?.note(`${place}: ${act.kind}`);
    }
    isOver = true;
    if (!world.browser.hasLocks && world.dice.chance(0.5)) waitForSilence(world);
    transcript?.note("all faults end");
    heal(world);
    settle(world);
    if (!world.isDivided && world.dice.chance(0.3)) checkHearing(world);
    checkReload(world);
    checkWorld(world);
  } catch (error) {
    failure = wordsOf(error);
  }
  return outcomeOf(world, seed, happened, failure);
}

/** A broken promise says all there is in its message; of any other error it matters where it was thrown. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return /^G\d is broken/.test(error.message) ? error.message : (error.stack ?? error.message);
}

function outcomeOf(world: World, seed: number, happened: FaultKind[], failure: string | undefined): Outcome {
  const endings: Record<string, number> = {};
  let twice = 0;
  for (const { told, promptId } of world.book.entries.values()) {
    const name = told?.type ?? "none";
    endings[name] = (endings[name] ?? 0) + 1;
    if (world.book.runs(promptId).filter(({ startedAt }) => startedAt !== undefined).length > 1) twice += 1;
  }
  const twins = { seen: 0, removed: 0 };
  for (const { coordinator } of world.browser.hosts) {
    twins.seen += coordinator.twins.seen;
    twins.removed += coordinator.twins.removed;
  }
  return {
    seed,
    steps: world.steps,
    virtualMs: world.agenda.now,
    faults: happened,
    tasks: world.book.entries.size,
    endings,
    twice,
    twins,
    failure,
  };
}

const awake = ({ page }: TabModel): boolean => page?.isReady === true && page.isAlive && !page.isStill;

/** Somebody wants to be told of it, and may be away for only so long. */
const patienceOf = (dice: Dice): number | undefined =>
  dice.chance(0.15) ? dice.whole(1_000, 30_000) : undefined;

function enter(
  world: World,
  page: PageModel,
  what: Pick<Entry, "mark" | "kind" | "promptId" | "cancelAfterMs" | "site" | "registered">,
): Entry {
  const entry: Entry = {
    ...what,
    taskId: `task-${what.mark}`,
    tabId: page.identity.tabId,
    submittedAt: world.agenda.now,
    promised: false,
    refused: undefined,
    cancelAsked: false,
    stopped: false,
    dismissed: false,
    outputsDropped: false,
    acceptedAs: undefined,
    told: undefined,
    tellings: 0,
  };
  world.book.entries.set(entry.taskId, entry);
  return entry;
}

/** Of these answers a page cannot tell whether the host has the task (client/session.ts). */
const undecided: readonly string[] = ["host-lost", "timeout", "closed"];

/** What the page makes of the answer to what it has told its host. */
function introduced(page: PageModel, entry: Entry, answer: Answer<unknown>): void {
  if ("error" in answer) {
    entry.refused = answer.error.code;
    if (!undecided.includes(answer.error.code)) page.forget(entry.taskId);
    return;
  }
  // One that is told lost before it is promised has never been.
  entry.promised = entry.told === undefined;
  page.takeSnapshot(answer.ok as TaskSnapshot);
}

function submit(world: World, dice: Dice, wanted: { kind?: Kind; site?: string } = {}): string | undefined {
  const tab = dice.pick(world.browser.tabs.filter(awake));
  const page = tab?.page;
  if (!page) return undefined;
  const mark = world.book.nextMark();
  const promptId = mintPromptId(dice);
  const kind = wanted.kind ?? dice.pick(kinds)!;
  const cancelAfterMs = patienceOf(dice);
  const server = wanted.site ?? (dice.chance(0.3) ? dice.pick(world.network.sites)?.url : undefined);
  const filesAt = server === undefined && dice.chance(0.1) ? dice.pick(world.network.sites)?.url : undefined;
  const site = server ?? filesAt;
  const entry = enter(world, page, { mark, kind, promptId, cancelAfterMs, site });
  const { taskId } = entry;
  page.expect({ taskId, promptId, lastSeq: 0, settled: false });
  const submission: Submission = {
    taskId,
    promptId,
    ...present({ cancelAfterMs, server }),
    ...(filesAt === undefined ? {} : { filesAt: [filesAt] }),
    ...(dice.chance(0.1) ? { front: true } : {}),
    ...(dice.chance(0.1) ? { affinity: "tab" } : {}),
    // In no journal: the next host cannot send it.
    ...(dice.chance(0.05) ? { extraData: { api_key_comfy_org: "secret" } } : {}),
  };
  const workflow = workflowOf(kind, mark);
  page.call({ method: "submit", submission, workflow }, 60_000, (answer) => introduced(page, entry, answer));
  return taskId;
}

/** An app that sends a prompt by itself, mostly under its host's client id, and has it watched over when it is accepted. */
function register(world: World, dice: Dice): void {
  const page = dice.pick(world.browser.tabs.filter(awake))?.page;
  const server = dice.pick(page?.servers ?? []);
  if (!page || !server) return;
  const mark = world.book.nextMark();
  const kind = dice.pick(registrable)!;
  const cancelAfterMs = patienceOf(dice);
  const askedId = mintPromptId(dice);
  const post = (clientId: string | undefined): void => {
    const body = JSON.stringify({
      prompt: JSON.parse(workflowOf(kind, mark)) as unknown,
      prompt_id: askedId,
      ...present({ client_id: clientId }),
    });
    page.ask(server, { method: "POST", path: "/prompt", body, timeoutMs: 30_000 }, (answer) => {
      const promptId = "status" in answer && answer.status === 200 ? promptIdIn(answer.text) : undefined;
      if (promptId === undefined) return;
      const site = server.url;
      const entry = enter(world, page, { mark, kind, promptId, cancelAfterMs, site, registered: true });
      const { taskId } = entry;
      page.expect({ taskId, serverId: server.id, promptId, registered: true, lastSeq: 0, settled: false });
      const registration = { taskId, serverId: server.id, promptId, ...present({ cancelAfterMs }) };
      page.call({ method: "register", registration }, 30_000, (given) => introduced(page, entry, given));
    });
  };
  if (dice.chance(0.3)) post(undefined);
  else
    page.call({ method: "clientId", serverId: server.id }, 30_000, (answer) => {
      if ("ok" in answer) post(answer.ok as string);
    });
}

/** A proxy may have answered for the server. */
function promptIdIn(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { prompt_id?: string }).prompt_id;
  } catch {
    return undefined;
  }
}

function signIn(world: World, dice: Dice): void {
  const page = dice.pick(world.browser.tabs.filter(awake))?.page;
  const site = dice.pick(world.network.sites);
  if (page && site) page.signIn(site.url, page.app.someone(site.url, dice));
}

function pickTask(world: World, dice: Dice, ended: boolean) {
  const found = world.browser.tabs.flatMap((tab) => {
    const { page } = tab;
    if (!page || !awake(tab)) return [];
    return [...page.logs].flatMap(([taskId, log]) => {
      const entry = world.book.entries.get(taskId);
      return entry && log.known && (log.ending !== undefined) === ended ? [{ page, entry }] : [];
    });
  });
  return dice.pick(found);
}

function cancel(world: World, dice: Dice): void {
  const found = pickTask(world, dice, false);
  if (!found) return;
  const { page, entry } = found;
  entry.cancelAsked = true;
  page.call({ method: "cancel", taskId: entry.taskId }, 45_000, (answer: Answer<unknown>) => {
    if ("ok" in answer && answer.ok === true) entry.stopped = true;
  });
}

function dismiss(world: World, dice: Dice): void {
  const found = pickTask(world, dice, true);
  if (!found) return;
  const { page, entry } = found;
  entry.dismissed = true;
  page.call({ method: "dismiss", taskId: entry.taskId }, 30_000, (answer) => {
    if ("ok" in answer) page.forget(entry.taskId);
  });
}

/** A tab wants a server or several, for a while or until it is told to let go. */
function lock(world: World, dice: Dice, lockId: string): void {
  const page = dice.pick(world.browser.tabs.filter(awake))?.page;
  if (page) want(page, dice, lockId);
}

function want(page: PageModel, dice: Dice, lockId: string): void {
  const all = page.servers.map(({ url }) => url);
  const mode = dice.chance(0.65) ? "exclusive" : "shared";
  const steal = mode === "exclusive" && dice.chance(0.15);
  page.locks.want(lockId, {
    mode,
    servers: dice.pick([undefined, [dice.pick(all)!], [dice.pick(all)!], all]),
    steal,
    ifAvailable: !steal && dice.chance(0.15),
    ...(dice.chance(0.25) ? { patienceMs: dice.whole(5, 20_000) } : {}),
    ...(dice.chance(0.75) ? { holdMs: dice.whole(20, 40_000) } : {}),
    isNested: dice.chance(0.6),
  });
}

function unlock(world: World, dice: Dice): void {
  const found = world.browser.tabs
    .filter(awake)
    .flatMap(({ page }) => [...(page?.locks.entries.keys() ?? [])].map((lockId) => ({ page, lockId })));
  const one = dice.pick(found);
  one?.page?.locks.letGo(one.lockId);
}

/** What is still owed, in words; empty when all is settled. */
function owed(world: World): string[] {
  const list: string[] = [];
  const { browser, book } = world;
  for (const { page, name } of browser.tabs) {
    if (!page?.greeted) {
      list.push(`tab ${name} has no host`);
      continue;
    }
    if (!page.hasNamedAll) list.push(`tab ${name} has servers to name`);
    if (page.pending > 0) list.push(`${page.pending} calls of tab ${name} hang`);
    for (const entry of book.entries.values()) {
      if (entry.tabId !== page.identity.tabId || entry.dismissed) continue;
      const log = page.logs.get(entry.taskId);
      if (log?.ending || (log?.adrift && world.isDivided) || (!entry.promised && !log?.known)) continue;
      // Without the journal nobody knows of it but a page that was told under which id it was sent.
      if (isMortal(world) && (entry.told || !page.identity.tasks.get(entry.taskId)?.promptId)) continue;
      const stage = page.host?.coordinator.tasks.get(entry.taskId)?.stage.at ?? "unknown to its host";
      list.push(`${entry.taskId} of tab ${name} has no ending: ${stage}`);
    }
  }
  list.push(...browser.lockCheck.owed());
  // Where it is excused above, too: whoever has begun to end a task says so.
  for (const host of browser.hosts)
    if (host.state === "live")
      for (const { id, stage } of host.coordinator.tasks.values())
        if (stage.at === "settling") list.push(`${host.epoch} is about to tell the ending of ${id}`);
  return list;
}

function settle(world: World): void {
  const limit = world.agenda.now + settleMs;
  for (;;) {
    const until = world.agenda.now + 2_000;
    while (world.next(until));
    const list = owed(world);
    if (list.length === 0) return;
    if (world.agenda.now >= limit) throw new Error(`G2 is broken: silence: ${list.join("; ")}`);
  }
}

/** A socket that hears nothing has to be noticed by silence: one task after the other, until one is told live. */
function checkHearing(world: World): void {
  for (const { url } of world.network.sites)
    for (let tries = 1; ; tries += 1) {
      const taskId = submit(world, world.dice, { kind: "long", site: url });
      settle(world);
      const logs = world.browser.tabs.flatMap(({ page }) => page?.logs.get(taskId ?? "") ?? []);
      if (taskId === undefined || logs.some(({ heardNode }) => heardNode)) break;
      if (tries >= hearingTries) throw new Error(`G3 is broken: nothing is heard of what runs at ${url}`);
    }
}

/** Every tab is loaded anew, perhaps under a new host, and finds what it has not dismissed. */
function checkReload(world: World): void {
  const { browser, book } = world;
  if (!isMortal(world) && world.dice.chance(0.5)) for (const host of browser.serving) browser.killHost(host);
  for (const tab of browser.tabs) {
    browser.unload(tab, true);
    browser.load(tab);
  }
  settle(world);
  for (const { page } of browser.tabs)
    for (const entry of book.entries.values()) {
      if (entry.tabId !== page?.identity.tabId || entry.dismissed || !entry.told) continue;
      const log = page.logs.get(entry.taskId);
      if (isMortal(world)) continue;
      if (log?.ending !== entry.told.type)
        throw new Error(
          `G2 is broken: ${entry.taskId} ended ${entry.told.type}, and after a reload ${log?.ending}`,
        );
    }
  for (const host of browser.hosts) if (host.state === "live") host.checkAtRest();
  // A copy of the tab from before it was dismissed may have cancelled it: to its host it is a new one.
  for (const { taskId, stopped, dismissed, told } of book.entries.values())
    if (stopped && !dismissed && told && told.type !== "cancelled" && !isMortal(world))
      throw new Error(`G6 is broken: cancel() of ${taskId} said true, and it ended ${told.type}`);
}
