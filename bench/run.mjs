/**
 * Measures comfy-tabs against the same thing done by hand in the page, in Chromium.
 *
 *   npm run bench -- [--runs 9] [--launches 3] [--only flood,paced] [--sides direct,comfy-tabs] [--profile]
 *                      [--no-build] [--dist <a folder with another build>]
 *
 * Ends with 0 when it could measure, also where a target is missed: then it says so.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { provideChromium } from "../scripts/chromium.mjs";
import { median, ratios, table } from "./figures.mjs";
import { startFloodServer } from "./flood-server.mjs";
import { isMet, metrics } from "./metrics.mjs";
import { startPageServer } from "./page-server.mjs";
import { profileOf } from "./profile.mjs";
import { launchChromium } from "./raw-cdp.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const top = dirname(here);
const options = readOptions();

if (options.build && options.sides.includes("comfy-tabs"))
  execFileSync("npm", ["run", "--silent", "build"], { cwd: top, stdio: "inherit" });

const floodServer = await startFloodServer();
const pageServer = await startPageServer({
  pages: join(here, "pages"),
  dist: options.dist,
  node_modules: join(top, "node_modules"),
});

/** @type {Map<string, { metric: import("./metrics.mjs").Metric, runs: Record<string, import("./metrics.mjs").Figure>[] }>} */
const measured = new Map(options.metrics.map((metric) => [metric.name, { metric, runs: [] }]));
let chromiumVersion = "";

try {
  for (let launch = 0; launch < options.launches; launch += 1) await measureInOneBrowser(launch);
  report();
} catch (error) {
  console.error("Could not measure:", error);
  process.exitCode = 1;
} finally {
  floodServer.close();
  pageServer.close();
}

/** A fresh browser each time: how it lays out its processes differs from launch to launch. */
async function measureInOneBrowser(launch) {
  const chromium = await launchChromium(provideChromium());
  chromiumVersion = chromium.version;
  try {
    const openNewTab = async (side) => {
      const query = new URLSearchParams({ side, server: floodServer.origin });
      const page = await chromium.openPage(`${pageServer.origin}/pages/new-tab.html?${query}`);
      return { answer: await page.evaluate("globalThis.firstAnswer()"), close: page.close };
    };

    // The tabs that bring the workers to life stay in the background: most tabs find a worker that runs.
    for (const side of options.sides) await openNewTab(side);
    const tab = await openMeasuredTab(chromium);

    const runs = Math.ceil((options.runs - launch) / options.launches);
    for (const { metric, runs: kept } of measured.values()) {
      for (const side of options.sides) await metric.measure(tab, side, openNewTab);
      for (let run = 0; run < runs; run += 1) {
        tellProgress(`${metric.title}: browser ${launch + 1}, run ${run + 1}`);
        kept.push(await measureOnce(metric, kept.length, tab, openNewTab));
      }
      if (options.profile && launch === 0) await keepProfile(chromium, metric, tab, openNewTab);
    }
    tellProgress("");
  } finally {
    await chromium.close();
  }
}

function tellProgress(line) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`);
}

/** Every side once, in an order that turns with each run: `direct` comes first as often as last. */
async function measureOnce(metric, run, tab, openNewTab) {
  const order = run % 2 === 0 ? options.sides : options.sides.toReversed();
  const figures = {};
  for (const side of order) figures[side] = await metric.measure(tab, side, openNewTab);
  return figures;
}

async function openMeasuredTab(chromium) {
  const page = await chromium.openPage(`${pageServer.origin}/pages/page.html`);
  const tab = {
    page,
    call: (name, ...args) =>
      page.evaluate(`globalThis.bench.${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`),
  };
  await tab.call("load", {
    server: floodServer.origin,
    sides: options.sides,
    navigationStartMs: await page.navigationStartMs(),
  });
  for (const side of options.sides) await tab.call("open", side);
  return tab;
}

async function keepProfile(chromium, metric, tab, openNewTab) {
  const side = options.sides.at(-1) === "bare-relay" ? options.sides.at(-2) : options.sides.at(-1);
  const targets = { page: tab.page };
  if (side === "comfy-tabs") targets.worker = await chromium.attachWorker("/dist/worker.js");
  const profiles = await profileOf(targets, async () => {
    for (let n = 0; n < 5; n += 1) await metric.measure(tab, side, openNewTab);
  });
  mkdirSync(join(here, "results"), { recursive: true });
  for (const [name, { profile, top: hottest }] of Object.entries(profiles)) {
    writeFileSync(join(here, "results", `${metric.name}-${name}.cpuprofile`), JSON.stringify(profile));
    console.log(`\n${metric.title}, ${side}, ${name}: share of its time\n${hottest}`);
  }
}

function report() {
  const relays = options.sides.filter((side) => side !== "direct");
  const head = ["metric", "unit", "direct", ...relays.flatMap((side) => [side, "ratio [min–max]"])];
  const rows = [[...head, "target", "met"]];
  const missed = [];
  const results = {};
  for (const { metric, runs } of measured.values()) {
    const values = runs.map((run) =>
      Object.fromEntries(Object.entries(run).map(([side, { value }]) => [side, value])),
    );
    const row = [
      metric.title,
      metric.unit,
      ...(values[0] && "direct" in values[0] ? [inDigits(median(values.map((v) => v.direct)))] : ["–"]),
    ];
    const compared = {};
    for (const side of relays) {
      const ratio = ratios(values, side);
      compared[side] = ratio;
      row.push(
        inDigits(median(values.map((value) => value[side]))),
        `${ratio.median.toFixed(2)} [${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}]`,
      );
    }
    const { target } = metric;
    const judged = target && compared["comfy-tabs"];
    const met = judged ? isMet(target, judged.median) : undefined;
    if (met === false) missed.push(metric.title);
    row.push(
      target ? ("atLeast" in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`) : "",
      met === undefined ? "" : met ? "yes" : "NO",
    );
    rows.push(row);
    results[metric.name] = { title: metric.title, unit: metric.unit, target, met, ratios: compared, runs };
  }
  console.log(table(rows));
  const judgedAny = Object.values(results).some(({ met }) => met !== undefined);
  if (missed.length > 0) console.log(`\nMissed: ${missed.join(", ")}.`);
  else if (judgedAny) console.log("\nEvery target is met.");
  keepResults(results);
}

/** Only a whole run becomes `latest.json`; a partial one would pass for one. */
function keepResults(results) {
  const whole = options.metrics.length === metrics.length && options.sides.includes("comfy-tabs");
  const file = join(here, "results", whole ? "latest.json" : "partial.json");
  const { version } = JSON.parse(readFileSync(join(top, "package.json"), "utf8"));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(
    file,
    `${JSON.stringify(
      {
        date: new Date().toISOString(),
        versions: { "comfy-tabs": version, chromium: chromiumVersion, node: process.version },
        machine: { platform: process.platform, cpus: cpus().length, cpu: cpus()[0]?.model },
        runs: options.runs,
        launches: options.launches,
        sides: options.sides,
        metrics: results,
      },
      undefined,
      2,
    )}\n`,
  );
}

function inDigits(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      runs: { type: "string", default: "9" },
      launches: { type: "string", default: "3" },
      only: { type: "string" },
      sides: { type: "string", default: "direct,comfy-tabs,bare-relay" },
      profile: { type: "boolean", default: false },
      "no-build": { type: "boolean", default: false },
      dist: { type: "string" },
    },
  });
  const names = values.only?.split(",") ?? metrics.map(({ name }) => name);
  const unknown = names.filter((name) => !metrics.some((metric) => metric.name === name));
  if (unknown.length > 0)
    fail(
      `No metric is called ${unknown.join(", ")}. There are: ${metrics.map(({ name }) => name).join(", ")}.`,
    );
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) fail("--runs takes a whole number above 0.");
  const launches = Math.min(Number(values.launches), runs);
  if (!Number.isInteger(launches) || launches < 1) fail("--launches takes a whole number above 0.");
  const sides = values.sides.split(",");
  for (const side of sides)
    if (!["direct", "comfy-tabs", "bare-relay"].includes(side)) fail(`No side is called ${side}.`);
  if (!sides.includes("direct")) fail("The side that all others are compared with is missing: direct.");
  return {
    runs,
    launches,
    metrics: metrics.filter(({ name }) => names.includes(name)),
    sides,
    profile: values.profile,
    build: !values["no-build"] && values.dist === undefined,
    dist: resolve(values.dist ?? join(top, "dist")),
  };
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
