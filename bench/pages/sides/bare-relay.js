/**
 * A SharedWorker that does nothing but hand on what its socket hears, one batch per tick: no tasks, no order
 * across restarts, no acknowledgement. Nearer to the physical limit of a relay than anything useful.
 */

/** @param {string} server */
export async function open(server) {
  const { port, clientId } = await join(server);
  const runs = new Map();

  const hear = (item) => {
    if (item.image) {
      const image = new Blob([new Uint8Array(item.image, item.offset)], { type: item.about.image_type });
      runs.get(item.about.prompt_id)?.handle.preview(image);
      return;
    }
    const { type, data: body } = item;
    if (type === "bench.tick") {
      for (const { handle } of runs.values()) handle.custom(body);
      return;
    }
    const run = runs.get(body.prompt_id);
    if (!run) return;
    if (type === "execution_start") run.started();
    else if (type === "executed") run.handle.output(body.node, body.output);
    else if (type === "progress") run.handle.progress(body.value, body.max);
    else if (type === "executing" && body.node === null) run.ended();
  };
  port.onmessage = ({ data }) => {
    for (const item of data) hear(item);
  };
  port.postMessage("listen");

  return {
    async submit(handle) {
      const promptId = crypto.randomUUID();
      const started = Promise.withResolvers();
      const ended = Promise.withResolvers();
      runs.set(promptId, { handle, started: started.resolve, ended: ended.resolve });
      ended.promise.then(() => runs.delete(promptId));
      await fetch(`${server}/prompt`, {
        method: "POST",
        body: JSON.stringify({ client_id: clientId, prompt_id: promptId, prompt: {} }),
      });
      await started.promise;
      return { promptId, ended: () => ended.promise };
    },
  };
}

/** The worker's newest status. @param {string} server */
export const firstAnswer = async (server) => (await join(server)).status;

function join(server) {
  const { port } = new SharedWorker("/pages/bare-relay-worker.js", { type: "module", name: server });
  return new Promise((resolve) => {
    port.onmessage = ({ data }) => resolve({ port, ...data });
  });
}
