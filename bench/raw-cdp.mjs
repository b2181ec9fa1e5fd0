import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const flags = [
  "--headless=new",
  "--remote-debugging-pipe",
  "--no-first-run",
  "--no-default-browser-check",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--disable-extensions",
  "--disable-component-update",
  "--disable-background-networking",
  // A measured page is never a background page: otherwise its timers and its process would be slowed.
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];

/**
 * A Chromium driven by the DevTools protocol over a pipe, with nothing between it and the page.
 * The Network domain stays off: with it every WebSocket frame of a page (and none of a SharedWorker) is
 * reported to Node, which halves what an own socket reaches.
 *
 * @param {string} executable
 */
export async function launchChromium(executable) {
  const profile = mkdtempSync(join(tmpdir(), "comfy-tabs-bench-"));
  const child = spawn(executable, [...flags, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);

  const cdp = connect(
    /** @type {import("node:stream").Writable} */ (child.stdio[3]),
    /** @type {import("node:stream").Readable} */ (child.stdio[4]),
  );
  ended.then(() => cdp.fail(new Error("Chromium has ended")));
  child.once("error", (error) => cdp.fail(error));
  const { product } = await cdp.send("Browser.getVersion");

  async function findWorker(ending, name = "") {
    const { targetInfos } = await cdp.send("Target.getTargets", { filter: [{ type: "shared_worker" }] });
    const found = targetInfos.find(({ url, title }) => url.endsWith(ending) && title.includes(name));
    if (!found) throw new Error(`No shared worker runs ${ending} ${name}`);
    return found.targetId;
  }

  return {
    version: product,

    /** @param {string} url */
    async openPage(url) {
      const { targetId } = await cdp.send("Target.createTarget", { url: "about:blank" });
      const page = await attach(cdp, targetId);
      await page.send("Page.enable");
      const loaded = page.once("Page.loadEventFired");
      await page.send("Page.navigate", { url });
      await loaded;
      return {
        ...page,
        /** What the page's `performance.now()` counts from, on the machine's monotonic clock. */
        async navigationStartMs() {
          await page.send("Performance.enable", { timeDomain: "timeTicks" });
          const { metrics } = await page.send("Performance.getMetrics");
          await page.send("Performance.disable");
          return 1000 * metrics.find(({ name }) => name === "NavigationStart").value;
        },
        /** Its process ends, and takes along the shared workers that it started. */
        async crash() {
          const crashed = page.once("Inspector.targetCrashed");
          page.send("Page.crash").catch(() => undefined); // whoever crashes does not answer
          await crashed;
        },
        /** Closes the tab and waits until it is gone. */
        async close() {
          const gone = cdp.once("Target.targetDestroyed", (event) => event.targetId === targetId);
          await cdp.send("Target.setDiscoverTargets", { discover: true });
          await cdp.send("Target.closeTarget", { targetId });
          await gone;
        },
      };
    },

    /** The shared worker whose script address ends so. @param {string} ending */
    async attachWorker(ending) {
      return attach(cdp, await findWorker(ending));
    },

    /**
     * Ends a shared worker as a browser does that needs the memory: its tabs hear nothing.
     *
     * @param {string} ending of its script's address
     * @param {string} name part of the worker's name
     */
    async closeWorker(ending, name) {
      await cdp.send("Target.closeTarget", { targetId: await findWorker(ending, name) });
    },

    async close() {
      await cdp.send("Browser.close").catch(() => undefined);
      const patience = setTimeout(kill, 5_000);
      await ended;
      clearTimeout(patience);
      process.off("exit", kill);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** One target, and what can be done with it. */
async function attach(cdp, targetId) {
  const { sessionId } = await cdp.send("Target.attachToTarget", { targetId, flatten: true });
  const send = (method, params) => cdp.send(method, params, sessionId);
  return {
    send,
    once: (method, matches) => cdp.once(method, matches, sessionId),
    /** The value of an expression, awaited in the target. @param {string} expression */
    async evaluate(expression) {
      const { result, exceptionDetails } = await send("Runtime.evaluate", {
        expression,
        awaitPromise: true,
        returnByValue: true,
      });
      if (exceptionDetails)
        throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text, {
          cause: exceptionDetails,
        });
      return result.value;
    },
  };
}

/** Messages are JSON, each ended by a zero byte. */
function connect(writable, readable) {
  let lastId = 0;
  let failure;
  const calls = new Map();
  const listeners = new Set();
  let rest = Buffer.alloc(0);

  readable.on("data", (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
      receive(JSON.parse(rest.toString("utf8", 0, end)));
      rest = rest.subarray(end + 1);
    }
  });
  writable.on("error", fail);

  function receive(message) {
    if (message.id === undefined) {
      for (const listener of listeners) listener(message);
      return;
    }
    const call = calls.get(message.id);
    calls.delete(message.id);
    if (message.error) call?.reject(new Error(`${call.method}: ${message.error.message}`));
    else call?.resolve(message.result);
  }

  function fail(error) {
    failure ??= error;
    for (const { reject } of calls.values()) reject(failure);
    calls.clear();
  }

  return {
    fail,
    send(method, params = {}, sessionId = undefined) {
      if (failure) return Promise.reject(failure);
      lastId += 1;
      const id = lastId;
      writable.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
      return new Promise((resolve, reject) => calls.set(id, { method, resolve, reject }));
    },
    once(method, matches = (_params) => true, sessionId = undefined) {
      return new Promise((resolve) => {
        listeners.add(function listener(message) {
          if (message.method !== method || message.sessionId !== sessionId || !matches(message.params))
            return;
          listeners.delete(listener);
          resolve(message.params);
        });
      });
    },
  };
}
