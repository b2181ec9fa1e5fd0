/**
 * Where time goes in several targets while `work` is done: their CPU profiles, and the functions with the
 * largest share of each target's own time.
 *
 * @param {Record<string, { send(method: string, params?: object): Promise<any> }>} targets
 * @param {() => Promise<void>} work
 */
export async function profileOf(targets, work) {
  for (const target of Object.values(targets)) {
    await target.send("Profiler.enable");
    await target.send("Profiler.setSamplingInterval", { interval: 200 });
    await target.send("Profiler.start");
  }
  await work();
  const results = {};
  for (const [name, target] of Object.entries(targets)) {
    const { profile } = await target.send("Profiler.stop");
    await target.send("Profiler.disable");
    results[name] = { profile, top: hottest(profile) };
  }
  return results;
}

function hottest({ nodes, samples, timeDeltas, startTime, endTime }) {
  const selfTimeById = new Map();
  samples.forEach((id, index) => {
    selfTimeById.set(id, (selfTimeById.get(id) ?? 0) + timeDeltas[index]);
  });
  const selfTimeByPlace = new Map();
  for (const { id, callFrame } of nodes) {
    const { functionName, url, lineNumber, columnNumber } = callFrame;
    const file = url.slice(url.lastIndexOf("/") + 1);
    const place = `${functionName || "(anonymous)"} ${file && `${file}:${lineNumber + 1}:${columnNumber + 1}`}`;
    selfTimeByPlace.set(place, (selfTimeByPlace.get(place) ?? 0) + (selfTimeById.get(id) ?? 0));
  }
  return [...selfTimeByPlace]
    .sort(([, a], [, b]) => b - a)
    .slice(0, 16)
    .map(([place, time]) => `${((100 * time) / (endTime - startTime)).toFixed(1).padStart(6)} %  ${place}`)
    .join("\n");
}
