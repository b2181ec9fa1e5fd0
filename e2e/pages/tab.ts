import { sharedHost } from "../../src/client/host/shared.ts";
import {
  type ConnectOptions,
  connect,
  type Session,
  type Task,
  type TaskEvent,
} from "../../src/client/index.ts";
import { isEnding } from "../../src/protocol/mailbox.ts";
import { workerName } from "../../src/protocol/names.ts";
import type { EventEnvelope } from "../../src/protocol/session-api.ts";

/** What one tab heard, in order, with everything that could show a wrong owner. */
export interface Heard {
  readonly taskId: string;
  readonly type: TaskEvent["type"];
  readonly seq: number;
  readonly detail?: unknown;
}

/** The page under test, as the tests drive it from outside. */
export interface TabUnderTest {
  open(options: ConnectOptions): Promise<{ tabId: string; windowId: string }>;
  submit(workflow: unknown, options?: { server?: string; label?: string }): Promise<string>;
  /** Resolves when the task has ended, with how. */
  ending(taskId: string): Promise<{ type: string; code?: string; outputs?: unknown; files?: unknown }>;
  heard(): Heard[];
  /** Resolves when an event of this type was told, or the task has ended without one. */
  until(taskId: string, type: TaskEvent["type"]): Promise<boolean>;
  cancel(taskId: string): Promise<boolean>;
  /** Every preview that was told, as the browser decodes it. */
  previews(): Promise<{ taskId: string; type: string; width: number; height: number }[]>;
  /** The tasks of all endings that came through this page's ports, also past the client. */
  endings(): string[];
  /** Which of these texts occurred in anything that came through this page's ports, also past the client. */
  mentioned(texts: readonly string[]): string[];
  /** Resolves when this tab has the server for itself. */
  lock(serverId: string): Promise<void>;
  /** How each server is locked, and by whom. */
  locks(): string[];
  session(): Session;
  task(taskId: string): Task;
  /** A port to the same host, past the client: what a hostile script of this page could open. */
  rawPort(name?: string): MessagePort;
}

declare global {
  interface Window {
    tab: TabUnderTest;
  }
}

let session: Session | undefined;
const heard: Heard[] = [];
const shown: { taskId: string; image: Blob }[] = [];
const arrived: string[] = [];
const endings: string[] = [];

// What a client keeps to itself would not show in its events: this sees all that the host sends to this page.
window.SharedWorker = class extends SharedWorker {
  constructor(...source: ConstructorParameters<typeof SharedWorker>) {
    super(...source);
    this.port.addEventListener("message", ({ data }: MessageEvent<Partial<EventEnvelope>>) => {
      arrived.push(JSON.stringify(data));
      for (const one of data.events ?? [])
        if (one.kind === "task" && isEnding(one.event)) endings.push(one.event.taskId);
    });
  }
};

const current = (): Session => {
  if (!session) throw new Error("open() first");
  return session;
};

function follow(task: Task): void {
  void (async () => {
    for await (const event of task) {
      heard.push({ taskId: event.taskId, type: event.type, seq: event.seq, ...detailOf(event) });
      if (event.type === "preview") shown.push({ taskId: event.taskId, image: event.image });
    }
  })();
}

function detailOf(event: TaskEvent): { detail?: unknown } {
  switch (event.type) {
    case "preview":
      return { detail: { mime: event.image.type, bytes: event.image.size, nodeId: event.nodeId } };
    case "text":
      return { detail: event.text };
    case "cached":
      return { detail: event.nodeIds };
    case "warning":
      return { detail: event.code };
    case "failed":
      return { detail: event.error.code };
    case "accepted":
      return { detail: event.promptId };
    case "output":
      return { detail: event.output };
    default:
      return {};
  }
}

window.tab = {
  async open(options) {
    session = await connect(options);
    for (const task of session.tasks()) follow(task);
    return { tabId: session.tabId, windowId: session.windowId };
  },
  async submit(workflow, options) {
    const task = await current().submit(workflow as never, options);
    follow(task);
    return task.id;
  },
  async ending(taskId) {
    const task = window.tab.task(taskId);
    for await (const event of task) {
      if (event.type === "succeeded") {
        const { outputs, files } = await task.result();
        return { type: event.type, outputs, files };
      }
      if (event.type === "failed") return { type: event.type, code: event.error.code };
      if (event.type === "cancelled" || event.type === "lost") return { type: event.type };
    }
    throw new Error("the events ended without an ending");
  },
  heard: () => heard,
  async until(taskId, type) {
    for await (const event of window.tab.task(taskId)) if (event.type === type) return true;
    return false;
  },
  cancel: (taskId) => window.tab.task(taskId).cancel(),
  previews: () =>
    Promise.all(
      shown.map(async ({ taskId, image }) => {
        const { width, height } = await createImageBitmap(image);
        return { taskId, type: image.type, width, height };
      }),
    ),
  endings: () => endings,
  mentioned: (texts) => texts.filter((text) => arrived.some((message) => message.includes(text))),
  async lock(serverId) {
    await current().lockServer(serverId, { mode: "exclusive" });
  },
  locks: () =>
    current()
      .servers()
      .flatMap(({ lock }) => (lock ? [`${lock.mode} ${lock.by}`] : [])),
  session: current,
  rawPort(name = "comfy-tabs") {
    const { port } = sharedHost(undefined, workerName(name));
    port.start();
    return port;
  },
  task(taskId) {
    const task = current().task(taskId);
    if (!task) throw new Error(`no task ${taskId}`);
    return task;
  },
};
