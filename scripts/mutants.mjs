/**
 * Proof that the simulation can see: plants one mistake after the other in the core and runs seeds until a
 * promise is broken. `npm run test:mutants -- --only "no quarantine"` plants those whose name contains it.
 */
import { parseArgs } from "node:util";
import { runSeeds } from "./simulation-pool.mjs";
import { bundleWorld } from "./world-bundle.mjs";

const { values } = parseArgs({ options: { only: { type: "string", default: "" } } });
const { mutants, Summary } = await import(await bundleWorld("unspoilt"));
const chosen = mutants.filter(({ name }) => name.includes(values.only));
const width = Math.max(...chosen.map(({ name }) => name.length));
let survivors = 0;

console.log(`${"mistake".padEnd(width)}  seeds  of    caught by`);
for (const [place, mutant] of chosen.entries()) {
  const bundle = await bundleWorld(`mutant-${place + 1}`, mutant);
  const summary = new Summary();
  const goOn = (totals) => {
    summary.merge(totals);
    return !summary.firstFailure(mutant.seeds) && summary.totals.seeds < mutant.seeds;
  };
  await runSeeds(bundle, 1, goOn, 20);
  const first = summary.firstFailure(mutant.seeds);
  if (!first) survivors += 1;
  const found = first ? String(first.seed).padStart(5) : "     ";
  const words = first ? first.failure.split("\n")[0] : "NOTHING";
  console.log(`${mutant.name.padEnd(width)}  ${found}  ${String(mutant.seeds).padEnd(4)}  ${words}`);
}
console.log(
  `\n${chosen.length} mistakes planted, ${chosen.length - survivors} caught, ${survivors} survived`,
);
process.exitCode = survivors > 0 ? 1 : 0;
