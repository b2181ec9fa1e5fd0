import type { Answer } from "../protocol/session-api.ts";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import type { ComfyServer, PromptEntry } from "../simulator/index.ts";
import { check, type Entry } from "./book.ts";
import { mintPromptId } from "./dice.ts";
import type { PageModel } from "./page.ts";
import { type Kind, workflowOf } from "./workflows.ts";
import { createWorld, type World } from "./world.ts";

/** Where a task stands when it is cancelled. */
export const moments = [
  "submitting",
  "just accepted",
  "queued",
  "running",
  "in its last node",
  "unstoppable",
  "as its host dies",
] as const;
export type Moment = (typeof moments)[number];

/** How a cancelled task ended. */
export interface Tally {
  cancels: number;
  /** By its owner, whose call said `true`. */
  stopped: number;
  /** The call said `false` in time, and the task was stopped later: nobody could tell what became of its POST. */
  stoppedLate: number;
  /** It ended by itself, and the call said `false`. */
  finishedFirst: number;
  /** The call died with its host, or had to wait too long; the task ended all the same. */
  unanswered: number;
  /** The server is too old to stop what runs without risk for others. */
  unsupported: number;
}

/** Everybody else's prompts, which no cancel may touch. */
export interface CancelReport {
  readonly tallies: ReadonlyMap<Moment, Tally>;
  readonly others: number;
}

const kindAt: { readonly [M in Moment]: Kind } = {
  submitting: "steps",
  "just accepted": "steps",
  queued: "steps",
  running: "steps",
  "in its last node": "unstoppable",
  unstoppable: "unstoppable",
  "as its host dies": "steps",
};
const patienceMs = 120_000;
/** By then `cancel` has an answer. */
const answerLimitMs = 30_000;

/**
 * Cancels one task after another at the given moments, among tasks of another tab and prompts of strangers.
 *
 * @throws Error where a cancel hits somebody else's prompt, says what is not so, or comes to no end
 */
export function cancelAtRandom(version: string, seed: number, rounds: number): CancelReport {
  const world = createWorld({ seed, version });
  const [own, neighbours] = [world.browser.openTab(), world.browser.openTab()];
  world.browser.load(own);
  world.browser.load(neighbours);
  const tallies = newTallies();
  const others: string[] = [];
  runUntil(
    world,
    "both tabs have a host",
    () => own.page?.greeted === true && neighbours.page?.greeted === true,
  );

  for (let round = 0; round < rounds; round += 1) {
    const moment = moments[round % moments.length]!;
    const { page } = own;
    if (!page || !neighbours.page) throw new Error("a tab has lost its page");
    const before = others.length;
    // What runs before the victim, beside it, and after it.
    if (moment === "queued" || world.dice.chance(0.4))
      others.push(submit(world, neighbours.page, "steps").promptId);
    if (world.dice.chance(0.5)) others.push(postAsStranger(world));
    const victim = submit(world, page, kindAt[moment]);
    others.push(submit(world, neighbours.page, "quick").promptId, postAsStranger(world));
    const tally = tallies.get(moment)!;
    tally.cancels += 1;
    waitFor(world, moment, victim);
    const cancelledAt = world.agenda.now;
    const answer = cancel(page, victim);
    if (moment === "as its host dies") {
      pass(world, world.dice.next() * 20);
      world.browser.killHost(page.host);
    }
    runUntil(
      world,
      `the task that was cancelled ${moment} has ended`,
      () => victim.told !== undefined && (answer.given !== undefined || page.pending === 0),
    );
    count(world, victim, answer.given, world.agenda.now - cancelledAt, tally);
    runUntil(world, "all others have run", () => others.slice(before).every((id) => hasEnded(world, id)));
  }
  for (const promptId of others) {
    const runs = world.book.runs(promptId);
    check(
      runs.length === 1 && runs[0]?.ending === "success",
      "G6",
      `somebody else's prompt ended ${runs[0]?.ending ?? runs[0]?.removed}`,
    );
  }
  return { tallies, others: others.length };
}

const newTallies = (): Map<Moment, Tally> =>
  new Map(
    moments.map((moment) => [
      moment,
      { cancels: 0, stopped: 0, stoppedLate: 0, finishedFirst: 0, unanswered: 0, unsupported: 0 },
    ]),
  );

const comfy = (world: World): ComfyServer => world.servers[0]!;
const runOf = (world: World, { promptId }: Entry): PromptEntry | undefined => world.book.runs(promptId)[0];
const isDone = (run: PromptEntry | undefined): boolean =>
  run !== undefined && (run.ending !== undefined || run.removed !== undefined);
const hasEnded = (world: World, promptId: string): boolean => isDone(world.book.runs(promptId)[0]);

function pass(world: World, ms: number): void {
  const until = world.agenda.now + ms;
  while (world.next(until));
}

function runUntil(world: World, what: string, holds: () => boolean): void {
  const limit = world.agenda.now + patienceMs;
  while (!holds()) {
    check(world.agenda.now < limit, "G7", `${what}: not in ${patienceMs / 1000} s`);
    if (!world.next(limit)) comfy(world).advanceTo(world.agenda.now);
  }
}

function submit(world: World, page: PageModel, kind: Kind): Entry {
  const mark = world.book.entries.size + 1;
  const entry: Entry = {
    taskId: `task-${mark}`,
    promptId: mintPromptId(world.dice),
    mark,
    kind,
    tabId: page.identity.tabId,
    cancelAfterMs: undefined,
    site: undefined,
    acceptedAs: undefined,
    submittedAt: world.agenda.now,
    promised: false,
    refused: undefined,
    cancelAsked: false,
    stopped: false,
    dismissed: false,
    outputsDropped: false,
    told: undefined,
    tellings: 0,
  };
  const { taskId, promptId } = entry;
  world.book.entries.set(taskId, entry);
  page.expect({ taskId, promptId, lastSeq: 0, settled: false });
  const request = {
    method: "submit" as const,
    submission: { taskId, promptId },
    workflow: workflowOf(kind, mark),
  };
  page.call(request, 60_000, (answer) => {
    if ("ok" in answer) page.takeSnapshot(answer.ok as TaskSnapshot);
  });
  return entry;
}

/** As another program would, that nobody here knows of. */
function postAsStranger(world: World): string {
  const promptId = mintPromptId(world.dice);
  const body = JSON.stringify({
    prompt: JSON.parse(workflowOf("steps", 0)) as unknown,
    prompt_id: promptId,
    client_id: "stranger",
  });
  const { status, body: text } = comfy(world).request("POST", "/prompt", body);
  check(status === 200, "G6", "a stranger's prompt is refused");
  return (JSON.parse(String(text)) as { prompt_id: string }).prompt_id;
}

function waitFor(world: World, moment: Moment, victim: Entry): void {
  const { dice } = world;
  const run = (): PromptEntry | undefined => runOf(world, victim);
  switch (moment) {
    case "submitting":
      pass(world, dice.next() * 25);
      return;
    case "just accepted":
      runUntil(world, "the server has it", () => run() !== undefined);
      return;
    case "queued":
      runUntil(world, "the server has it", () => run() !== undefined);
      pass(world, dice.next() * 500);
      return;
    case "running":
    case "unstoppable":
      runUntil(world, "it runs", () => run()?.startedAt !== undefined);
      pass(world, dice.next() * 700);
      return;
    case "in its last node":
      runUntil(world, "it runs", () => run()?.startedAt !== undefined);
      // Some come too late, and hear that it has finished.
      pass(world, 3_950 + dice.next() * 150);
      return;
    case "as its host dies":
      pass(world, dice.next() * 900);
  }
}

function cancel(page: PageModel, victim: Entry): { given: Answer<unknown> | undefined } {
  const call: { given: Answer<unknown> | undefined } = { given: undefined };
  victim.cancelAsked = true;
  page.call({ method: "cancel", taskId: victim.taskId }, 45_000, (answer) => {
    call.given = answer;
  });
  return call;
}

/** What the owner was told, compared with what the server did. */
function count(
  world: World,
  victim: Entry,
  answer: Answer<unknown> | undefined,
  tookMs: number,
  tally: Tally,
): void {
  const run = runOf(world, victim);
  const { told } = victim;
  const says = answer && "ok" in answer ? answer.ok : undefined;
  check(world.book.runs(victim.promptId).length <= 1, "G5", "it ran twice");
  if (told?.type === "cancelled") {
    check(told.by === "owner", "G6", "its owner cancelled it, and is told that it was another");
    check(run === undefined || run.ending === "interrupted" || run.removed !== undefined, "G6", "it goes on");
    check(says !== false || tookMs > answerLimitMs, "G6", "it was stopped, and the call said false");
  } else {
    check(
      told?.type === "succeeded" && run?.ending === "success",
      "G6",
      `it was cancelled, and ${told?.type}`,
    );
    check(says !== true, "G6", "it finished, and the call said that it was stopped");
  }
  if (says === undefined) tally.unanswered += 1;
  else if (says === true) tally.stopped += 1;
  else if (told?.type === "cancelled") tally.stoppedLate += 1;
  else if (comfy(world).version === "0.3.50") tally.unsupported += 1;
  else tally.finishedFirst += 1;
}

export function cancelsTogether(reports: readonly CancelReport[]): CancelReport {
  const tallies = newTallies();
  for (const report of reports)
    for (const [moment, tally] of report.tallies)
      for (const [name, more] of Object.entries(tally)) tallies.get(moment)![name as keyof Tally] += more;
  return { tallies, others: reports.reduce((sum, { others }) => sum + others, 0) };
}

/** One line for each moment. */
export function cancelTable({ tallies }: CancelReport): string {
  const names = ["cancels", "stopped", "stoppedLate", "finishedFirst", "unsupported", "unanswered"] as const;
  const lines = [...tallies].map(
    ([moment, tally]) => moment.padEnd(18) + names.map((name) => String(tally[name]).padStart(15)).join(""),
  );
  return ["".padEnd(18) + names.map((name) => name.padStart(15)).join(""), ...lines].join("\n");
}
