import { ComfyTabsError, connect, type Diagnostics, type Workflow } from "../../src/client/index.ts";
import worker from "../../src/worker/main.ts?worker&url";

/** What the parent of a frame asks of it. */
export interface AskFrame {
  readonly server: string;
  readonly workflow: object;
  /** Default: the worker's own address. `blob`: a script of the frame's own origin that loads it. */
  readonly worker?: "blob";
}

export type FrameSays =
  | { readonly code: string }
  | {
      readonly diagnostics: Pick<Diagnostics, "mode" | "reason" | "journal" | "locks">;
      /** How the task ended. */
      readonly ending: string;
    };

const address = new URL(worker, location.href).href;
const blobWorker = (): Worker =>
  new Worker(
    URL.createObjectURL(new Blob([`import ${JSON.stringify(address)};`], { type: "text/javascript" })),
    { type: "module" },
  );

async function work({ server, workflow, worker: kind }: AskFrame): Promise<FrameSays> {
  try {
    const session = await connect({
      servers: [server],
      logger: "silent",
      ...(kind === "blob" ? { mode: "solo", worker: blobWorker } : { worker: address }),
    });
    const task = await session.submit(workflow as Workflow);
    const ending = await task.result().then(
      () => "succeeded",
      (error: ComfyTabsError) => error.code,
    );
    const { mode, reason, journal, locks } = await session.diagnostics();
    return { diagnostics: { mode, journal, locks, ...(reason === undefined ? {} : { reason }) }, ending };
  } catch (error) {
    return { code: error instanceof ComfyTabsError ? error.code : String(error) };
  }
}

addEventListener("message", ({ data, source }: MessageEvent<AskFrame>) => {
  void work(data).then((answer) => source?.postMessage(answer, { targetOrigin: "*" }));
});
parent.postMessage("there", "*");
