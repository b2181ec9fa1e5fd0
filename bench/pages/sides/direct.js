/** A tab with a WebSocket of its own: what an app does by hand. */
import { previewOf } from "../preview.js";

/** @param {string} server */
export async function open(server) {
  const clientId = crypto.randomUUID();
  const runs = new Map();
  const socket = connect(server, clientId);
  await heard(socket);

  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") {
      const { promptId, image } = previewOf(data);
      runs.get(promptId)?.handle.preview(image);
      return;
    }
    const { type, data: body } = JSON.parse(data);
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

/** The handshake, and the status that a server sends first. @param {string} server */
export const firstAnswer = (server) => heard(connect(server, crypto.randomUUID()));

function connect(server, clientId) {
  const socket = new WebSocket(`${server.replace(/^http/, "ws")}/ws?clientId=${clientId}`);
  socket.binaryType = "arraybuffer";
  return socket;
}

const heard = (socket) =>
  new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => resolve(JSON.parse(data));
    socket.onerror = () => reject(new Error("The flood server refuses the socket"));
  });
