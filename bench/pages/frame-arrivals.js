/** Notes when the frame that ends a prompt reaches this worker, before the worker's own listener hears of it. */
const endings = [];

globalThis.WebSocket = class extends WebSocket {
  constructor(url) {
    super(url);
    this.addEventListener("message", ({ data, timeStamp }) => {
      // Read only when asked: what is measured shall not wait for it.
      if (typeof data === "string" && data.includes('"executing"'))
        endings.push({ data, at: performance.timeOrigin + timeStamp });
    });
  }
};

const channel = new BroadcastChannel("frame-arrivals");
channel.onmessage = ({ data: asked }) => {
  // One that its tab has left may live on for a while.
  if (!self.name.endsWith(asked)) return;
  const arrivals = {};
  for (const { data, at } of endings.splice(0)) {
    const { node, prompt_id } = JSON.parse(data).data;
    if (node === null) arrivals[prompt_id] = at;
  }
  channel.postMessage(arrivals);
};
