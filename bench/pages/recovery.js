/** What a tab does that loses its host, and one that only waits for endings. All times are of the page's clock. */
import { connect } from "comfy-tabs";

/** @param {number} delay_ms how long it runs: no real task begins and ends in the same millisecond */
const workflow = (n, delay_ms = 0) => ({
  1: { class_type: "ProtoConst", inputs: { value: n } },
  2: { class_type: "ProtoOut", inputs: { value: ["1", 0], tag: `${n} ${Math.random()}`, delay_ms } },
});
let session;
let sessionName;
let hostsMet = 0;
let goneAt;
let metAgainAt;

globalThis.recovery = {
  /**
   * @param {string} server
   * @param {string} name each round has a worker of its own
   * @param {string} [worker] the file of another worker than the package's
   */
  async open(server, name, worker) {
    sessionName = name;
    session = await connect({
      servers: [{ url: server, depth: Number.POSITIVE_INFINITY }],
      name,
      ...(worker && { worker: new URL(worker, location.href) }),
      logger: {
        debug(...message) {
          if (message.some((part) => String(part).includes("the host is gone"))) goneAt ??= performance.now();
        },
        warn: (...message) => console.warn(...message),
      },
    });
    session.on("mode", () => {
      hostsMet += 1;
      if (hostsMet === 2) metAgainAt = performance.now();
    });
    const { journal, mode } = await session.diagnostics();
    return { journal, mode };
  },

  /** Tasks that the server has accepted. */
  async submit(count) {
    const tasks = await Promise.all(Array.from({ length: count }, (_, n) => session.submit(workflow(n))));
    await Promise.all(tasks.map((task) => new Promise((resolve) => task.on("accepted", resolve))));
  },

  /** When the death of the host was noticed, the next one answered, and the last ending was told. */
  async recovered() {
    const endings = await Promise.all(session.tasks().map(ending));
    return { goneAt, metAgainAt, replayedAt: Math.max(...endings), hostsMet };
  },

  /** One after the other, as their endings come: when the handler heard, and how long after the frame's arrival. */
  async endings(count) {
    const heard = [];
    for (let n = 0; n < count; n += 1) {
      const task = await session.submit(workflow(n, 50));
      const at = await ending(task);
      heard.push({ promptId: task.promptId, at });
      await task.dismiss();
    }
    const arrivals = await frameArrivals();
    return heard.map(({ promptId, at }) => ({
      promptId,
      at,
      afterMs: performance.timeOrigin + at - arrivals[promptId],
    }));
  },
};

/** By prompt: when `executing{node: null}` was at the worker. */
function frameArrivals() {
  const channel = new BroadcastChannel("frame-arrivals");
  return new Promise((resolve) => {
    channel.onmessage = ({ data }) => {
      channel.close();
      resolve(data);
    };
    channel.postMessage(`/${sessionName}`);
  });
}

const ending = (task) =>
  new Promise((resolve, reject) => {
    task.on("succeeded", () => resolve(performance.now()));
    task.on("failed", ({ error }) => reject(error));
    task.on("lost", ({ reason }) => reject(new Error(`lost: ${reason}`)));
  });
