import { nanoid } from "nanoid";
import {
  ComfyTabsError,
  type ConnectOptions,
  connect,
  type Session,
  type Task,
  type TaskEvent,
} from "../../src/client/index.ts";
import type { EventEnvelope } from "../../src/protocol/session-api.ts";
import { labelOf, mark, type Told, type ToldEnding, type ToldTask } from "../chaos/told.ts";

/** A page that tells all it hears, and works for itself when it is told to. */
export interface ChaosPage {
  readonly page: string;
  readonly tabId: string;
  /** @returns its label, when the host has it */
  submit(workflow: object, name?: string): Promise<string>;
  cancel(label: string): Promise<boolean>;
  tasks(): (ToldTask & { readonly ending: boolean })[];
  /** Keeps a few tasks of its own under way, until it is told to stop. */
  work(plan: WorkPlan): void;
  rest(): void;
  session(): Session;
}

export interface WorkPlan {
  /** Tasks that are open at one time. */
  readonly open: number;
  readonly pauseMs: number;
  readonly workflows: readonly object[];
  /** Of 1: how many tasks are cancelled. */
  readonly cancelled: number;
  /** Ended tasks that are kept; older ones are dismissed. */
  readonly kept: number;
}

declare global {
  interface Window {
    chaos: ChaosPage;
  }
}

const page = nanoid(); // there is no `randomUUID` on insecure hosts
const arrived = new Set<string>();
const followed = new Set<string>();
/** Dismissed in the next turn: a page that crashes takes along what it has just told. */
const announced = new Set<string>();
let session: Session | undefined;
let submitted = 0;
let toldSoFar = 0;
let plan: WorkPlan | undefined;

type Unsigned<T> = T extends unknown ? Omit<T, "page" | "tabId" | "number" | "at"> : never;

const now = (): number => Math.round(performance.timeOrigin + performance.now());

function tell(what: Unsigned<Told>): void {
  toldSoFar += 1;
  const said = { page, tabId: session?.tabId ?? "", number: toldSoFar, at: now(), ...what };
  console.debug(`${mark} ${JSON.stringify(said)}`);
}

/** Ports that lead to nobody, as one does whose worker dies while the page is given it. */
let deadPorts = Number(new URLSearchParams(location.search).get("deadPorts"));

// What a client keeps to itself would not show in its events: this sees all that a host sends to this page.
window.SharedWorker = class extends SharedWorker {
  constructor(...source: ConstructorParameters<typeof SharedWorker>) {
    super(...source);
    if (deadPorts > 0) {
      deadPorts -= 1;
      Object.defineProperty(this, "port", { value: new MessageChannel().port1 });
    }
    this.port.addEventListener("message", ({ data }: MessageEvent<Partial<EventEnvelope>>) => {
      for (const one of data.events ?? []) if (one.kind === "task") noteArrival(one.event.taskId);
    });
  }
};

function noteArrival(taskId: string): void {
  if (arrived.has(taskId)) return;
  arrived.add(taskId);
  tell({ kind: "arrived", taskId });
}

// A tab that is opened again brings its storage along.
const { setItem } = Storage.prototype;
Storage.prototype.setItem = function (key, value) {
  setItem.call(this, key, value);
  if (this === sessionStorage) tell({ kind: "stored", items: { ...sessionStorage } });
};

const current = (): Session => {
  if (!session) throw new Error("not connected yet");
  return session;
};

function follow(task: Task): void {
  if (followed.has(task.id)) return;
  followed.add(task.id);
  void (async () => {
    try {
      for await (const event of task) await hear(task, event);
    } catch (error) {
      tell({ kind: "log", text: `following ${task.label} ended: ${String(error)}` });
    }
  })();
}

async function hear(task: Task, event: TaskEvent): Promise<void> {
  const label = task.label ?? "";
  const { taskId } = event;
  const ended = (ending: ToldEnding["ending"], more: Partial<ToldEnding>): void =>
    tell({ kind: "ended", label, taskId, ending, ...more });
  switch (event.type) {
    case "accepted":
      tell({ kind: "accepted", label, promptId: event.promptId });
      return;
    case "warning":
      tell({ kind: "log", text: `${label} is warned: ${event.code}` });
      if (event.code === "journal-in-memory") tell({ kind: "unkept", label });
      return;
    case "succeeded": {
      const outputs = Object.values(event.result.outputs) as { text?: string[] }[];
      ended("succeeded", { texts: outputs.flatMap(({ text = [] }) => text) });
      return;
    }
    case "failed":
      ended("failed", { why: event.error.code });
      return;
    case "cancelled":
      ended("cancelled", { why: event.by });
      return;
    case "lost":
      ended("lost", { why: event.reason });
  }
}

const isOpen = (task: Task): boolean => ["submitting", "queued", "running"].includes(task.status);

async function submit(workflow: object, name?: string): Promise<string> {
  submitted += 1;
  const label = labelOf(current().tabId, name ?? `${page.slice(0, 8)}-${submitted}`);
  tell({ kind: "submitting", label });
  try {
    const task = await current().submit(tagged(workflow, label) as never, { label });
    tell({ kind: "submitted", label });
    follow(task);
  } catch (error) {
    tell({ kind: "refused", label, code: error instanceof ComfyTabsError ? error.code : String(error) });
    throw error;
  }
  return label;
}

/** The output of a run says whose it is, and no run is answered from the cache of another. */
function tagged(workflow: object, label: string): object {
  const seed = crypto.getRandomValues(new Uint32Array(1))[0];
  return JSON.parse(
    JSON.stringify(workflow).replaceAll('"TAG"', JSON.stringify(label)).replaceAll('"SEED"', String(seed)),
  );
}

async function cancel(label: string): Promise<boolean> {
  const task = current()
    .tasks()
    .find((one) => one.label === label);
  if (!task) throw new Error(`no task ${label}`);
  tell({ kind: "cancelling", label });
  const stopped = await task.cancel();
  tell({ kind: "cancel-answered", label, stopped });
  return stopped;
}

async function takeTurn({ open, workflows, cancelled, kept }: WorkPlan): Promise<void> {
  const tasks = current().tasks();
  const ended = tasks.filter((task) => !isOpen(task));
  for (const task of ended.slice(0, -kept)) {
    if (announced.has(task.id)) await task.dismiss();
    else tell({ kind: "dismissed", label: task.label ?? "" });
    announced.add(task.id);
  }
  if (tasks.length - ended.length < open) {
    const label = await submit(workflows[submitted % workflows.length] as object);
    if (Math.random() < cancelled) void cancel(label).catch(noteFailure);
  }
  const askedAt = now();
  const { epoch, journal, outbox, twins } = await current().diagnostics();
  if (journal !== "indexeddb") tell({ kind: "log", text: `the journal of ${epoch} is in ${journal}` });
  tell({ kind: "outbox", epoch, askedAt, ...outbox });
  if (twins.seen > 0) tell({ kind: "twins", epoch, ...twins });
}

const noteFailure = (error: unknown): void => tell({ kind: "log", text: `failed: ${String(error)}` });

function work(next: WorkPlan): void {
  plan = next;
  void (async () => {
    while (plan === next) {
      await takeTurn(next).catch(noteFailure);
      await new Promise((resolve) => setTimeout(resolve, next.pauseMs));
    }
  })();
}

addEventListener("pageshow", ({ persisted }) => {
  if (persisted) tell({ kind: "shown-again" });
});

const asked = new URLSearchParams(location.search);
const log = (...said: unknown[]): void => tell({ kind: "log", text: said.map(String).join(" ") });
const options: ConnectOptions = {
  servers: asked.getAll("server"),
  name: asked.get("name") ?? "chaos",
  logger: { debug: log, warn: log },
  ...(asked.has("cancelAfterMs")
    ? { whenTabGone: { cancelAfterMs: Number(asked.get("cancelAfterMs")) } }
    : {}),
};
// A host that hangs or dies while it is asked makes `connect` fail: an app would try again.
while (!session)
  session = await connect(options).catch((error: unknown) => {
    log("not connected:", error);
    return undefined;
  });
tell({
  kind: "opened",
  tasks: session.tasks().map(({ id, label, status }) => ({ taskId: id, label: label ?? "", status })),
});
for (const task of session.tasks()) follow(task);
// Another page of this tab, or another host, may bring more.
session.on("mode", ({ epoch }) => {
  tell({ kind: "host", epoch });
  for (const task of current().tasks()) follow(task);
});

window.chaos = {
  page,
  get tabId() {
    return current().tabId;
  },
  submit,
  cancel,
  tasks: () =>
    current()
      .tasks()
      .map((task) => ({
        taskId: task.id,
        label: task.label ?? "",
        status: task.status,
        ending: !isOpen(task),
      })),
  work,
  rest() {
    plan = undefined;
  },
  session: current,
};
