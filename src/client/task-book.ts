import { isEnding } from "../protocol/mailbox.ts";
import type { KnownTask } from "../protocol/session-api.ts";
import type { PortTaskEvent, TaskSnapshot } from "../protocol/tasks.ts";
import type { Logger, Task } from "./api.ts";
import type { Calls, Request } from "./calls.ts";
import { type Identity, newest } from "./identity.ts";
import type { JournalLoss } from "./journal-loss.ts";
import { createTask } from "./task.ts";
import { createTaskLog, type TaskLog } from "./task-log.ts";

/** With so many open tasks it is not each change that is written down; the host's journal has it at once. */
const many = 100;

/** The tab's tasks as this page knows them, and what of them is to outlive the page or its host. */
export interface TaskBook {
  readonly tasks: ReadonlyMap<string, Task>;
  /** Oldest first. */
  list(): readonly Task[];
  /** Notes a task that the host is about to be told of, so that a reload in between does not forget it. */
  expect(task: Omit<Request<KnownTask>, "lastSeq" | "settled">): void;
  /** Makes, or brings up to date, a task that the host tells of. */
  take(snapshot: TaskSnapshot): Task;
  takeAll(snapshots: readonly TaskSnapshot[]): void;
  takeEvent(event: PortTaskEvent): void;
  /** Whether what the host in force does outlives it. */
  hostForgets(forgets: boolean): void;
  /** Calls back once, when the task has ended or nothing more of it will come. */
  whenOver(taskId: string, then: () => void): void;
  forget(taskId: string): void;
  /** The host has made no task of it. */
  unexpect(taskId: string): void;
  /** They are another tab's. */
  forgetAll(): void;
  /** Another page of this tab knows these. */
  learn(tasks: readonly KnownTask[]): void;
  /** What a new host, or the page's own next life, is to be told: the open ones. */
  known(): Request<KnownTask>[];
  /** Nothing more of any task will come. */
  close(): void;
}

/** @param changed the list of tasks is another one, or one of them has been accepted or has ended */
export function createTaskBook(
  identity: Identity,
  logger: Logger,
  call: Calls["call"],
  loss: JournalLoss,
  changed: () => void,
): TaskBook {
  const tasks = new Map<string, Task>();
  const logs = new Map<string, TaskLog>();
  /** Settled ones are in it only where their host forgets them: else, whoever comes later finds their endings there. */
  const open = new Map<string, Request<KnownTask>>(identity.tasks.map((task) => [task.taskId, task]));
  const forgotten = new Set<string>();
  /** Another page of this tab has not written these down: they have ended there, or were dismissed. */
  const overElsewhere = new Set<string>();
  let forgets = false;

  function logOf(taskId: string): TaskLog {
    const log = logs.get(taskId) ?? createTaskLog(logger);
    logs.set(taskId, log);
    return log;
  }

  function note(taskId: string, { promptId, serverId, lastSeq, ending }: TaskLog): void {
    const before = open.get(taskId);
    const known = {
      ...before,
      taskId,
      lastSeq,
      // Also where a host that does not know has to find out again.
      settled: ending !== undefined || before?.settled === true,
      promptId: promptId ?? before?.promptId,
      serverId: serverId ?? before?.serverId,
    };
    if (ending && !forgets) open.delete(taskId);
    else open.set(taskId, known);
  }

  function takeSnapshot(snapshot: TaskSnapshot): Task {
    const { taskId: id, label, createdAt } = snapshot;
    const log = logOf(id);
    const task =
      tasks.get(id) ?? createTask({ id, label, createdAt, log, call, forget: () => book.forget(id) });
    tasks.set(id, task);
    log.takeSnapshot(snapshot);
    note(id, log);
    return task;
  }

  function save(): void {
    // All of it is written each time: with many tasks, one after the other, a page would do nothing else.
    if (open.size < many) identity.save(book.known());
    else identity.saveSoon(book.known);
  }

  function saveChange(): void {
    save();
    changed();
  }

  function drop(taskId: string): void {
    logs.get(taskId)?.end("dismissed");
    logs.delete(taskId);
    tasks.delete(taskId);
    open.delete(taskId);
  }

  const book: TaskBook = {
    tasks,
    list: () => [...tasks.values()].sort((a, b) => a.createdAt - b.createdAt),
    expect(task) {
      // A host that forgets does what no journal has, whatever it was told.
      const { told } = loss;
      open.set(task.taskId, { ...task, lastLoss: forgets ? undefined : told, lastSeq: 0, settled: false });
      logOf(task.taskId); // its events may come before the answer that makes it a task
      save();
    },
    take(snapshot) {
      const task = takeSnapshot(snapshot);
      saveChange();
      return task;
    },
    takeAll(snapshots) {
      for (const snapshot of snapshots) {
        const { taskId } = snapshot;
        if (!forgotten.has(taskId)) takeSnapshot(snapshot);
        // Its host died before the journal had forgotten it; the next one is told once more.
        else call("dismiss", [taskId]).catch(() => {}); // as above, at the host after that
      }
      // What a host that forgets nothing does not tell of is over for it, too.
      const there = new Set(snapshots.map(({ taskId }) => taskId));
      for (const taskId of overElsewhere) if (!there.has(taskId)) drop(taskId);
      overElsewhere.clear();
      for (const { taskId, settled } of open.values())
        if (settled && !forgets && !there.has(taskId)) open.delete(taskId);
      saveChange();
    },
    takeEvent(event) {
      const log = logs.get(event.taskId);
      if (!log?.take(event)) return;
      const { type } = event;
      if (type !== "accepted" && !isEnding(event)) return;
      note(event.taskId, log);
      saveChange();
    },
    hostForgets(now) {
      forgets = now;
      // What was asked of it since it had been told of its own loss is in no journal either.
      if (now) for (const [taskId, { lastLoss: _, ...known }] of open) open.set(taskId, known);
    },
    whenOver(taskId, then) {
      logOf(taskId).whenOver(then);
    },
    forget(taskId) {
      forgotten.add(taskId);
      drop(taskId);
      if (forgets) open.set(taskId, { taskId, lastSeq: 0, settled: true, dismissed: true });
      saveChange();
    },
    unexpect(taskId) {
      drop(taskId);
      saveChange();
    },
    forgetAll() {
      for (const taskId of [...logs.keys(), ...open.keys()]) drop(taskId);
      changed();
    },
    learn(more) {
      for (const taskId of open.keys()) overElsewhere.add(taskId);
      for (const { taskId } of more) overElsewhere.delete(taskId);
      for (const taskId of overElsewhere) open.delete(taskId);
      for (const task of more) {
        if (task.dismissed) drop(task.taskId);
        if (!logs.has(task.taskId)) open.set(task.taskId, task);
      }
    },
    known() {
      const lastSeq = (known: Request<KnownTask>): number => logs.get(known.taskId)?.lastSeq ?? known.lastSeq;
      return newest([...open.values()].map((known) => ({ ...known, lastSeq: lastSeq(known) })));
    },
    close() {
      for (const log of logs.values()) log.end("closed");
    },
  };
  return book;
}
