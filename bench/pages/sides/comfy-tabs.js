/** The product, as built. */
import { connect } from "comfy-tabs";

const options = (server) => ({
  servers: [{ url: server, broadcastTypes: ["bench.tick"] }],
  logger: "warn",
});

/** A workflow with a node of a kind that every ComfyUI has; the flood server runs it without running it. */
const workflow = { 1: { class_type: "PreviewAny", inputs: { source: "" } } };

/** @param {string} server */
export async function open(server) {
  const session = await connect(options(server));
  let custom;
  session.on("message", ({ data }) => custom(data));

  return {
    async submit(handle) {
      custom = (data) => handle.custom(data);
      const task = await session.submit(workflow);
      const started = Promise.withResolvers();
      task.on("started", () => started.resolve());
      task.on("output", ({ nodeId, output }) => handle.output(nodeId, output));
      task.on("progress", ({ value, max }) => handle.progress(value, max));
      task.on("preview", ({ image }) => handle.preview(image));
      await started.promise;
      return {
        promptId: task.promptId,
        async ended() {
          await task.result();
          await task.dismiss();
        },
      };
    },
  };
}

/** A handshake with the host, whose answer says how each server stands. @param {string} server */
export async function firstAnswer(server) {
  const session = await connect(options(server));
  return session.servers();
}
