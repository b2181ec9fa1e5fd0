/** One thread of a simulation: runs the seeds it is given, and tells what they came to. */
import { parentPort, workerData } from "node:worker_threads";

const { bundle, options } = workerData;
const { simulate, Summary } = await import(bundle);

parentPort.on("message", ({ from, count }) => {
  const summary = new Summary();
  for (let seed = from; seed < from + count; seed += 1) summary.add(simulate(seed, options));
  parentPort.postMessage(summary.totals);
});
