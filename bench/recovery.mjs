/**
 * How soon a tab knows: that its host is dead, what it missed meanwhile, and that a task has ended.
 * Chromium with a profile on disk, the journal in IndexedDB, and the simulator as server.
 *
 *   npm run bench:recovery -- [--runs 9] [--endings 60] [--no-build]
 *
 * An ending's time begins when the server's last frame is at the worker: what its way there takes is the simulator's
 * (whose clock says when a frame is due, not when it is sent) and the browser's. Each run has a worker, a database and
 * ten tasks of its own before those that count; they come one at a time, 50 ms long.
 *
 * Ends with 0 when it could measure, also where a target is missed: then it says so.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { provideChromium } from "../scripts/chromium.mjs";
import { median, quantile, table } from "./figures.mjs";
import { startPageServer } from "./page-server.mjs";
import { launchChromium } from "./raw-cdp.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const top = dirname(here);
const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "9" },
    endings: { type: "string", default: "60" },
    "no-build": { type: "boolean", default: false },
  },
});
const [runs, endings] = [Number(values.runs), Number(values.endings)];
const openTasks = 20;

if (!values["no-build"]) execFileSync("npm", ["run", "--silent", "build"], { cwd: top, stdio: "inherit" });
const { startSimulator } = await import("../dist/simulator.js");
const simulator = await startSimulator({ keepFrames: 100_000 });
const pageServer = await startPageServer(
  { pages: join(here, "pages"), dist: join(top, "dist"), node_modules: join(top, "node_modules") },
  { isolated: false },
);
const chromium = await launchChromium(provideChromium());

/** Milliseconds of the machine's monotonic clock, which the browser's pages count in, too. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

try {
  const rounds = [];
  for (let n = 0; n < runs; n += 1)
    for (const death of ["worker killed", "its tab crashed"]) rounds.push(await recover(n, death));
  const told = [];
  for (let n = 0; n < runs; n += 1) told.push(await measureEndings(n));
  report(rounds, told);
} catch (error) {
  console.error("Could not measure:", error);
  process.exitCode = 1;
} finally {
  await chromium.close();
  await simulator.close();
  pageServer.close();
}

async function openTab(name, worker) {
  const page = await chromium.openPage(`${pageServer.origin}/pages/recovery.html`);
  const call = (method, ...args) =>
    page.evaluate(`recovery.${method}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`);
  const { mode, journal } = await call("open", simulator.url, name, ...(worker ? [worker] : []));
  if (mode !== "shared" || JSON.stringify(journal).includes("memory"))
    throw new Error(`Measured would be ${mode} with ${JSON.stringify(journal)}`);
  return { page, call, startMs: await page.navigationStartMs() };
}

/** The host dies under tasks that all end before there is another. */
async function recover(n, death) {
  const name = `recovery-${n}-${death.replaceAll(" ", "-")}`;
  const creator = await openTab(name);
  const tab = await openTab(name);
  simulator.hold({ after: "queued" });
  await tab.call("submit", openTasks);

  const diedAt = now();
  if (death === "worker killed") await chromium.closeWorker("/dist/worker.js", name);
  else await creator.page.crash();
  simulator.release();
  const { goneAt, metAgainAt, replayedAt, hostsMet } = await tab.call("recovered");
  if (hostsMet !== 2) throw new Error(`${hostsMet} hosts were met after: ${death}`);

  await tab.page.close();
  if (death === "worker killed") await creator.page.close();
  return {
    death,
    noticedMs: tab.startMs + goneAt - diedAt,
    answeredMs: tab.startMs + metAgainAt - diedAt,
    replayedMs: replayedAt - metAgainAt,
  };
}

/** From `executing{node: null}` to the handler, task by task: from its arrival, and from when it was due. */
async function measureEndings(n) {
  const tab = await openTab(`endings-${n}`, "recovery-worker.js");
  await tab.call("endings", 10);
  const clockMs = simulatorClock();
  const heard = await tab.call("endings", endings);
  await tab.page.close();
  const dueAt = new Map();
  for (const { type, promptId, at } of simulator.log.frames)
    if (type === "executing") dueAt.set(promptId, at); // the last one names no node
  const sinceDueMs = heard.map(({ promptId, at }) => tab.startMs + at - (dueAt.get(promptId) + clockMs));
  const sinceArrivalMs = heard.map(({ afterMs }) => afterMs);
  if (heard.some(({ afterMs }, i) => !(afterMs > 0 && sinceDueMs[i] > afterMs)))
    throw new Error("Clocks that differ: a frame was there before it was due, or told before it was there");
  return { sinceArrivalMs, sinceDueMs };
}

/** What to add to the times in the simulator's log to have the machine's monotonic clock. */
function simulatorClock() {
  const offsets = [];
  for (let n = 0; n < 20; n += 1) {
    const before = now();
    simulator.emit("bench.clock", {});
    offsets.push((before + now()) / 2 - simulator.log.frames.at(-1).at);
  }
  return median(offsets);
}

function report(rounds, told) {
  const all = (figure) => told.flatMap((run) => run[figure]);
  const p50s = told.map(({ sinceArrivalMs }) => quantile(sinceArrivalMs, 0.5));
  const of = (figure) => rounds.map((round) => round[figure]);
  const figures = [
    { title: "a dead host noticed, median", ms: median(of("noticedMs")), target: 250 },
    { title: "a dead host noticed, worst", ms: Math.max(...of("noticedMs")) },
    { title: "until the next host answers, median", ms: median(of("answeredMs")) },
    { title: `${openTasks} endings replayed after that, median`, ms: median(of("replayedMs")), target: 1000 },
    { title: `${openTasks} endings replayed after that, worst`, ms: Math.max(...of("replayedMs")) },
    {
      title: "executing{null} arrived, to the handler, p50, median of the runs",
      ms: median(p50s),
      target: 3,
    },
    { title: "executing{null} arrived, to the handler, p50, slowest run", ms: Math.max(...p50s) },
    {
      title: "executing{null} arrived, to the handler, p99 of all",
      ms: quantile(all("sinceArrivalMs"), 0.99),
      target: 25,
    },
    { title: "executing{null} due at the server, to the handler, p50", ms: quantile(all("sinceDueMs"), 0.5) },
  ].map((figure) => ({
    ...figure,
    met: figure.target === undefined ? undefined : figure.ms <= figure.target,
  }));
  console.log(
    table([
      ["figure", "ms", "target", "met"],
      ...figures.map(({ title, ms, target, met }) => [
        title,
        ms.toPrecision(3),
        target === undefined ? "" : `≤ ${target}`,
        met === undefined ? "" : met ? "yes" : "NO",
      ]),
    ]),
  );
  mkdirSync(join(here, "results"), { recursive: true });
  writeFileSync(
    join(here, "results", "recovery.json"),
    `${JSON.stringify(
      {
        date: new Date().toISOString(),
        versions: { chromium: chromium.version, node: process.version },
        machine: { platform: process.platform, cpus: cpus().length, cpu: cpus()[0]?.model },
        figures,
        rounds,
        endings: { each: told.map(({ sinceArrivalMs }) => sinceArrivalMs.length), p50s },
      },
      undefined,
      2,
    )}\n`,
  );
}
