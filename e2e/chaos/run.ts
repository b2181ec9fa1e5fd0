import { setTimeout as wait } from "node:timers/promises";
import type { ServerUnderTest } from "../fixtures.ts";
import type { ChaosBrowser, ChaosTab } from "./browser.ts";
import { createLedger, type Verdict } from "./ledger.ts";
import { kindsForSimulator, perform } from "./perform.ts";
import type { FaultyProxy } from "./proxy.ts";
import type { HttpRequest } from "./requests.ts";
import { allKinds, describe, type Kind, schedule } from "./schedule.ts";
import { createSeats } from "./seats.ts";
import { watchServed } from "./served.ts";
import type { Told } from "./told.ts";
import { createTranscript } from "./transcript.ts";
import { labelIn, shortWork } from "./workflows.ts";

export interface ChaosPlan {
  readonly seed: number;
  /** How long things go wrong; what is left undone then gets time to settle. */
  readonly lastsMs: number;
  readonly everyMs: number;
  readonly tabs: number;
}

export interface ChaosReport {
  readonly plan: ChaosPlan;
  /** How often each kind of fault was done. */
  readonly faults: Readonly<Partial<Record<Kind, number>>>;
  readonly skipped: number;
  readonly verdict: Verdict;
  /** Tabs whose page had no host a minute after the last fault. */
  readonly stuck: readonly string[];
  readonly settledMs: number;
  /** Everything that was done and told, and what concerns the tasks in the findings alone. */
  readonly transcript: { readonly whole: string; readonly ofFindings: string };
}

/** How long what is left may take, once nothing goes wrong any more: a prompt in quarantine takes a minute. */
const patienceMs = 150_000;
const connectMs = 60_000;

const work = { open: 3, pauseMs: 200, workflows: shortWork, cancelled: 0.1, kept: 20 };

export interface ChaosPlace {
  readonly chaos: ChaosBrowser;
  readonly network: FaultyProxy;
  readonly server: ServerUnderTest;
  readonly address: string;
  readonly progress: (line: string) => void;
}

/** Lets tabs work while things go wrong as planned, and compares at the end what they say with the server. */
export async function runChaos(
  { chaos, network, server, address, progress }: ChaosPlace,
  plan: ChaosPlan,
): Promise<ChaosReport> {
  const ledger = createLedger();
  const served = watchServed(server);
  const transcript = createTranscript();
  const seats = createSeats(chaos, address);
  const epochs = new Set<string>();
  const faults: Partial<Record<Kind, number>> = {};
  let [skipped, resting] = [0, false];
  let creator: ChaosTab | undefined;

  const ours = (request: HttpRequest) =>
    request.method === "POST" && /^(\/api)?\/prompt$/.test(request.path)
      ? labelIn(request.body.toString("utf8"))
      : undefined;
  network.onDelivered((request) => {
    const own = ours(request);
    if (!own) return;
    ledger.delivered(own.promptId, own.label);
    served.delivered(own.promptId);
    transcript.note(`the network brought ${own.promptId}`, own.label);
  });
  network.onDisturbed((request) => {
    const own = ours(request);
    if (!own) return;
    ledger.disturbed(own.promptId);
    transcript.note(`the network broke under ${own.promptId}`, own.label);
  });
  chaos.onTold((told: Told, tab) => {
    const { name } = seats.of(tab);
    ledger.told(told, name);
    transcript.told(told, name);
    if (told.kind === "host" && !epochs.has(told.epoch)) {
      epochs.add(told.epoch);
      creator = tab;
    }
    if (told.kind === "opened" && !resting) void start(tab);
  });

  async function start(tab: ChaosTab): Promise<void> {
    try {
      await tab.evaluate((given) => window.chaos.work(given), work);
    } catch (error) {
      transcript.note(`${seats.of(tab).name} went before it worked: ${String(error)}`);
    }
  }

  for (let count = 0; count < plan.tabs; count += 1) await (await seats.add()).tab.ready();

  const place = {
    deleted: new Set<string>(),
    chaos,
    seats,
    network,
    server,
    elsewhere: address.replace("chaos.html", "tab.html"),
    forgot: () => ledger.forgot(Date.now()),
    creator: () => creator,
  };
  const kinds = server.simulator ? allKinds : allKinds.filter((kind) => !kindsForSimulator.includes(kind));
  const underWay = new Set<Promise<void>>();
  const startedAt = Date.now();
  const report = setInterval(() => {
    const done = Object.values(faults).reduce((sum, count) => sum + count, 0);
    const seconds = Math.round((Date.now() - startedAt) / 1000);
    progress(`${seconds} s: ${done} faults, ${ledger.tasks} tasks, ${ledger.open.length} of them open`);
  }, 10_000);
  try {
    for (const { afterMs, ...action } of schedule({ ...plan, kinds })) {
      await wait(afterMs);
      const doing = (async () => {
        transcript.note(describe(action));
        try {
          const reason = await perform(place, action);
          if (reason === undefined) faults[action.kind] = (faults[action.kind] ?? 0) + 1;
          else skipped += 1;
          transcript.note(`${action.kind}: ${reason ?? "done"}`);
        } catch (error) {
          skipped += 1;
          transcript.note(`${action.kind}: ${String(error)}`);
        }
        await recover();
      })();
      underWay.add(doing);
      void doing.finally(() => underWay.delete(doing));
    }
    await Promise.all(underWay);

    transcript.note("nothing goes wrong any more");
    resting = true;
    network.clear();
    const stuck = await comeBack();
    const from = Date.now();
    // The fact is in the ledger, which pages fill when they can: nothing announces it here, so it is looked at.
    while (ledger.open.length > 0 && Date.now() - from < patienceMs) await wait(200);
    const settledMs = Date.now() - from;
    transcript.note("all tabs are reloaded once more");
    // What a tab shows after its next reload has to be what it was told.
    stuck.push(...(await comeBack()));

    const verdict = ledger.verdict(await served.end(place.deleted));
    const findings = [
      ...verdict.lost,
      ...verdict.misrouted,
      ...verdict.duplicated,
      ...verdict.unfounded,
      ...verdict.unbounded,
      ...verdict.divided,
    ];
    return {
      plan,
      faults,
      skipped,
      verdict,
      stuck,
      settledMs,
      transcript: { whole: transcript.whole(), ofFindings: transcript.about(findings) },
    };
  } finally {
    clearInterval(report);
  }

  /** A crash takes along whoever shares the process. */
  async function recover(): Promise<void> {
    for (const seat of seats.all) {
      if (seat.isBusy || !seat.tab.isCrashed) continue;
      await seats
        .hold(seat, () => seat.tab.reload())
        .catch((error: unknown) => {
          transcript.note(`${seat.name} cannot be reloaded: ${String(error)}`);
        });
    }
  }

  /** Every tab is opened afresh, and connects. @returns those that do not */
  async function comeBack(): Promise<string[]> {
    const stuck: string[] = [];
    for (const seat of [...seats.all]) {
      let pages = pagesOf(seat.tab);
      try {
        await seats.hold(seat, () => seat.tab.reload());
      } catch (error) {
        transcript.note(`${seat.name} is closed and opened again: ${String(error)}`);
        pages = 0;
        await seats.reopen(seat, async () => {});
      }
      const until = Date.now() + connectMs;
      // Likewise: a page has connected when it has told so, and one that cannot is a finding after this time.
      while (pagesOf(seat.tab) <= pages && Date.now() < until) await wait(50);
      if (pagesOf(seat.tab) <= pages) stuck.push(`${seat.name} has not connected again`);
    }
    return stuck;
  }
}

const pagesOf = ({ told }: ChaosTab): number => told.filter(({ kind }) => kind === "opened").length;
