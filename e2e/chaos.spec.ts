import { mkdir, writeFile } from "node:fs/promises";
import { expect, test } from "./chaos/fixtures.ts";
import { type ChaosReport, runChaos } from "./chaos/run.ts";

/** `npm run chaos` sets these; else it is a short run that is the same every time. */
const seed = Number(process.env.CHAOS_SEED ?? 1);
const lastsMs = Number(process.env.CHAOS_SECONDS ?? 40) * 1000;

test("of tabs that work through chaos, none loses a task, gets another's, or has one twice", async ({
  chaos,
  network,
  server,
  address,
}) => {
  test.setTimeout(lastsMs + 600_000);
  const progress = (line: string): void => console.log(`  ${line}`);
  const plan = { seed, lastsMs, everyMs: 1_200, tabs: 6 };
  const report = await runChaos({ chaos, network, server, address, progress }, plan);
  console.log(told(report));
  const { lost, misrouted, duplicated, unfounded, unbounded, divided } = report.verdict;
  const findings = { lost, misrouted, duplicated, unfounded, unbounded, divided, stuck: report.stuck };
  if (Object.values(findings).some(({ length }) => length > 0)) {
    await mkdir("build", { recursive: true });
    await writeFile(`build/chaos-${seed}.log`, report.transcript.whole);
    console.log(`seed ${seed}; all of it stands in build/chaos-${seed}.log\n${report.transcript.ofFindings}`);
  }
  expect(report.verdict.tasks).toBeGreaterThan(6);
  expect(report.verdict.endings.succeeded).toBeGreaterThan(0);
  expect(findings).toEqual({
    lost: [],
    misrouted: [],
    duplicated: [],
    unfounded: [],
    unbounded: [],
    divided: [],
    stuck: [],
  });
});

function told({ plan, faults, skipped, verdict, stuck, settledMs }: ChaosReport): string {
  const counts = (all: object): string =>
    Object.entries(all)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ");
  const { tasks, endings, twins, unkept, lost, misrouted, duplicated, unfounded, unbounded, divided } =
    verdict;
  return [
    `seed ${plan.seed}, ${plan.lastsMs / 1000} s, ${plan.tabs} tabs and their copies`,
    `faults: ${counts(faults)}; could not be done: ${skipped}`,
    `tasks: ${tasks}; ${counts(endings)}; the last settled after ${(settledMs / 1000).toFixed(1)} s`,
    `twins that the network made: ${counts(twins)}; tasks that a host could not keep: ${unkept}`,
    `lost ${lost.length}, misrouted ${misrouted.length}, duplicated ${duplicated.length}, ` +
      `unfounded ${unfounded.length}, unbounded ${unbounded.length}, divided ${divided.length}, stuck ${stuck.length}`,
  ].join("\n");
}
