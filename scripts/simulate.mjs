/**
 * The deterministic simulation: `npm run simulate -- --seeds 2000` runs as many worlds on all cores,
 * `--steps 5000000` as many as that takes, `--from 1000` starts there, and `--pairs 100` wants every ordered pair
 * of faults so often. With `--size crowded` more goes on in each. `--seed 17` replays one and, when it fails,
 * shrinks its schedule and shows what happened.
 */
import { parseArgs } from "node:util";
import { runSeeds } from "./simulation-pool.mjs";
import { bundleWorld } from "./world-bundle.mjs";

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    steps: { type: "string" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    size: { type: "string", default: "usual" },
    pairs: { type: "string", default: "0" },
    lines: { type: "string", default: "200" },
  },
});

const bundle = await bundleWorld("simulation");
const { shrink, simulate, Summary, worldSizes } = await import(bundle);
const { size } = values;
if (!worldSizes.includes(size)) throw new Error(`--size is one of ${worldSizes.join(", ")}, not ${size}`);

if (values.seed !== undefined) process.exitCode = replay(Number(values.seed));
else process.exitCode = await runMany();

async function runMany() {
  const summary = new Summary();
  const seeds = values.seeds === undefined ? undefined : Number(values.seeds);
  const steps = Number(values.steps ?? 1_000_000);
  const started = performance.now();
  const share = () => (seeds === undefined ? summary.totals.steps / steps : summary.totals.seeds / seeds);
  const chunk = seeds === undefined ? 50 : Math.max(1, Math.min(50, Math.ceil(seeds / 8)));
  let isStopped = false;
  // Whoever has waited long enough gets what there is by now.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => (isStopped = true));
  const take = (totals) => {
    summary.merge(totals);
    progress(share());
    return !isStopped && share() < 1 && summary.totals.failures.length < 100;
  };
  await runSeeds(bundle, Number(values.from), take, chunk, { size });
  const seconds = (performance.now() - started) / 1000;
  for (const line of summary.pairTable()) console.log(line);
  console.log("");
  for (const line of summary.words()) console.log(line);
  const { pair, times } = summary.rarestPair();
  console.log(`rarest pair of faults: ${pair}, ${times} times`);
  console.log(`${seconds.toFixed(0)} s, ${Math.round(summary.totals.steps / seconds)} steps a second`);
  const failures = summary.totals.failures.sort((a, b) => a.seed - b.seed);
  if (failures.length === 0) {
    const blind = summary.firstFailure(Number.POSITIVE_INFINITY);
    if (blind) {
      console.log(blind.failure);
      return 1;
    }
    if (times >= Number(values.pairs)) return 0;
    console.log(`every pair was to come ${values.pairs} times`);
    return 1;
  }
  console.log("");
  for (const { seed, failure } of failures) console.log(`seed ${seed}: ${failure.split("\n")[0]}`);
  console.log("");
  return replay(failures[0].seed);
}

function progress(share) {
  if (!process.stderr.isTTY) return;
  const full = Math.min(40, Math.floor(share * 40));
  process.stderr.write(`\r${"█".repeat(full)}${"░".repeat(40 - full)} ${Math.floor(share * 100)} %`);
  if (share >= 1) process.stderr.write("\n");
}

function replay(seed) {
  const shrunk = shrink(seed, { size });
  if (!shrunk) {
    const { failure: _, ...outcome } = simulate(seed, { size });
    console.log(`seed ${seed} holds:`, outcome);
    return 0;
  }
  const { transcript } = shrunk;
  console.log(transcript.slice(Math.max(0, transcript.length - Number(values.lines))).join("\n"));
  console.log(`\nseed ${seed} fails with these acts alone: ${shrunk.schedule.join(", ")}`);
  console.log(shrunk.failure);
  console.log(`\nreplay: npm run simulate -- --seed ${seed}${size === "usual" ? "" : ` --size ${size}`}`);
  return 1;
}
