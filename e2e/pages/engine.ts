import {
  type ConnectOptions,
  connect,
  type Session,
  type Task,
  type TaskEvent,
} from "../../src/client/index.ts";
import mortal from "./mortal-worker.ts?worker&url";

export interface OpenInEngine extends Pick<ConnectOptions, "servers" | "mode" | "name" | "whenTabGone"> {
  /** What becomes of the wish for a SharedWorker here. Default: it is granted. */
  readonly shared?: "missing" | "broken";
}

/** What a tab has to tell, and nothing that waits: a driver may have one command under way in all tabs. */
export interface StateInEngine {
  readonly tabId: string;
  readonly windowId: string;
  readonly tasks: readonly {
    readonly id: string;
    readonly label: string | undefined;
    readonly status: string;
  }[];
  /** Of everything that was told: whose, what, and for texts what they say. */
  readonly heard: readonly {
    readonly taskId: string;
    readonly type: TaskEvent["type"];
    readonly text?: string;
  }[];
  readonly modes: readonly { readonly mode: string; readonly epoch: string; readonly reason?: string }[];
  readonly warnings: readonly string[];
}

declare global {
  interface Window {
    engine: {
      open(options: OpenInEngine): Promise<void>;
      submit(workflow: unknown, label: string): Promise<string>;
      cancel(taskId: string): Promise<boolean>;
      session(): Session;
      state(): StateInEngine;
      endWorkers(): void;
    };
  }
}

let session: Session | undefined;
const heard: StateInEngine["heard"][number][] = [];
const modes: StateInEngine["modes"][number][] = [];
const warnings: string[] = [];

const current = (): Session => {
  if (!session) throw new Error("open() first");
  return session;
};

async function follow(task: Task): Promise<void> {
  for await (const event of task) {
    const { taskId, type } = event;
    heard.push(type === "text" ? { taskId, type, text: event.text } : { taskId, type });
  }
}

const makeWorker = (name: string) => (kind: "shared" | "dedicated") =>
  kind === "shared"
    ? new SharedWorker("./there-is-no-such-worker.js", { type: "module", name })
    : new Worker(mortal, { type: "module", name });

window.engine = {
  async open({ shared, name = "comfy-tabs", ...options }) {
    if (shared === "missing") Reflect.deleteProperty(window, "SharedWorker");
    session = await connect({
      ...options,
      name,
      worker: shared === "broken" ? makeWorker(`comfy-tabs/1/${name}`) : new URL(mortal, location.href),
      logger: { debug() {}, warn: (_who, ...message) => warnings.push(message.join(" ")) },
    });
    session.on("mode", (mode) => modes.push(mode));
    for (const task of session.tasks()) void follow(task);
  },
  async submit(workflow, label) {
    const task = await current().submit(workflow as never, { label });
    void follow(task);
    return task.id;
  },
  cancel: async (taskId) => (await current().task(taskId)?.cancel()) ?? false,
  session: current,
  state: () => ({
    tabId: current().tabId,
    windowId: current().windowId,
    tasks: current()
      .tasks()
      .map(({ id, label, status }) => ({ id, label, status })),
    heard,
    modes,
    warnings,
  }),
  endWorkers() {
    const channel = new BroadcastChannel("end-workers");
    channel.postMessage(null);
    channel.close();
  },
};
