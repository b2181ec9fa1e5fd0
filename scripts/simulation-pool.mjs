/** Runs seeds on all cores. */
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

const worker = fileURLToPath(new URL("simulation-worker.mjs", import.meta.url));

/**
 * @param {string} bundle
 * @param {number} first seed
 * @param {(totals: object) => boolean} take gets what a chunk of seeds came to, and says whether to go on
 * @param {number} chunk how many seeds a thread runs at a time
 * @param {object} options of `simulate`
 */
export async function runSeeds(bundle, first, take, chunk = 50, options = {}) {
  let next = first;
  let goOn = true;
  const threads = Array.from({ length: availableParallelism() }, () => {
    const thread = new Worker(worker, { workerData: { bundle, options } });
    const give = () => {
      thread.postMessage({ from: next, count: chunk });
      next += chunk;
    };
    return new Promise((done, fail) => {
      thread.on("error", fail);
      thread.on("message", (totals) => {
        goOn = take(totals) && goOn;
        if (goOn) give();
        else void thread.terminate().then(done);
      });
      give();
    });
  });
  await Promise.all(threads);
}
