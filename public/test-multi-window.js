/*
 * Checks the windows of this origin that were opened for it (`enableDebug` of comfy-tabs/debug or comfy-tabs/compat):
 * all submit at once, and each has to hear of its own tasks and of nothing else. Load it from the console of any page
 * of the origin, by a script tag or by `await import("/test-multi-window.js")`; it prints pass or fail per window, and
 * `await testMultiWindowReport` gives the reports.
 */
globalThis.testMultiWindowReport = (async () => {
  const channel = new BroadcastChannel("comfy-tabs/debug");
  const run = `console-${Date.now()}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  const heard = (type, ms) =>
    new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), ms);
      channel.addEventListener("message", ({ data }) => {
        if (data.run !== run || data.type !== type) return;
        clearTimeout(timer);
        resolve(data);
      });
    });

  const answered = heard("here", 1_000);
  channel.postMessage({ type: "who", run });
  const leader = await answered;
  if (!leader) {
    channel.close();
    console.error("📡 No window takes part: call enableDebug() in each first.");
    return [];
  }
  const judged = heard("verdict", 150_000);
  channel.postMessage({ type: "lead", run, windowId: leader.windowId, order: {} });
  const reports = (await judged)?.reports ?? [];
  channel.close();
  for (const { windowId, pass, prompts, ms, problems } of reports) {
    const line = `🪟 [${windowId}] ${pass ? "pass" : "FAIL"}: ${prompts.length} tasks in ${ms} ms`;
    if (pass) console.log(line);
    else console.error(line, problems);
  }
  const all = reports.length > 0 && reports.every(({ pass }) => pass);
  console.log(`📡 test-multi-window: ${all ? "pass" : "FAIL"}, ${reports.length} windows`);
  return reports;
})();
