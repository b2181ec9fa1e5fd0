import { type AnyComfyTabsError, errorFromWire } from "../protocol/errors.ts";
import { isEnding, isRetained, Mailbox, taskEventKey } from "../protocol/mailbox.ts";
import type { PortTaskEvent, Progress, TaskSnapshot, TaskStatus } from "../protocol/tasks.ts";
import type { Logger, TaskEvent } from "./api.ts";
import { imageBlob } from "./image-blob.ts";

/** What this page knows of one task, for any number of readers, each at its own pace. */
export interface TaskLog {
  readonly status: TaskStatus;
  readonly promptId: string | undefined;
  readonly serverId: string | undefined;
  readonly progress: Progress | undefined;
  readonly lastSeq: number;
  readonly ending: TaskEvent | undefined;
  /** Takes one event; old news and everything after the ending are ignored. @returns whether it was news */
  take(event: PortTaskEvent): boolean;
  takeSnapshot(snapshot: TaskSnapshot): void;
  on(type: TaskEvent["type"], listener: (event: never) => void): () => void;
  iterate(): AsyncIterator<TaskEvent>;
  /** Nothing more will come: iterators end, whoever waits is woken. */
  end(): void;
  /** Calls back once, when there is an ending or nothing more will come. */
  whenOver(then: () => void): void;
}

export function createTaskLog(logger: Logger): TaskLog {
  const record = new Mailbox<TaskEvent>(taskEventKey);
  const readers = new Set<{ readonly box: Mailbox<TaskEvent>; wake: () => void }>();
  const listeners = new Set<{ readonly type: string; readonly listener: (event: TaskEvent) => void }>();
  const waiting: (() => void)[] = [];
  let status: TaskStatus = "submitting";
  let promptId: string | undefined;
  let serverId: string | undefined;
  let progress: Progress | undefined;
  let ending: TaskEvent | undefined;
  let lastSeq = 0;
  let over = false;

  function tell(listener: (event: TaskEvent) => void, event: TaskEvent): void {
    try {
      listener(event);
    } catch (error) {
      logger.warn("a listener of", event.type, "failed:", error);
    }
  }

  function note(event: TaskEvent): void {
    if (event.type === "accepted") ({ promptId, serverId } = event);
    if (event.type === "accepted" || event.type === "queued")
      status = status === "running" ? status : "queued";
    else if (event.type === "started") status = "running";
    else if (event.type === "progress") {
      const { nodeId, value, max, overall } = event;
      progress = { nodeId, value, max, ...(overall === undefined ? {} : { overall }) };
    } else if (isEnding(event)) {
      ending = event;
      status = event.type as TaskStatus;
      // Whoever comes now wants to know how it ended, not which picture was the last but one.
      record.drop((old) => !isRetained(old));
    }
  }

  function finish(): void {
    over = true;
    for (const reader of readers) reader.wake();
    for (const then of waiting.splice(0)) then();
  }

  const log: TaskLog = {
    get status() {
      return status;
    },
    get promptId() {
      return promptId;
    },
    get serverId() {
      return serverId;
    },
    get progress() {
      return progress;
    },
    get lastSeq() {
      return lastSeq;
    },
    get ending() {
      return ending;
    },
    take(wire) {
      if (wire.seq <= lastSeq || ending || over) return false;
      lastSeq = wire.seq;
      const event = fromWire(wire);
      note(event);
      record.put(event);
      for (const reader of readers) {
        reader.box.put(event);
        reader.wake();
      }
      for (const { type, listener } of listeners) if (type === event.type) tell(listener, event);
      if (ending) finish();
      return true;
    },
    takeSnapshot(snapshot) {
      for (const event of snapshot.events) log.take(event);
      if (!ending) status = snapshot.status;
      promptId ??= snapshot.promptId;
      serverId ??= snapshot.serverId;
      lastSeq = Math.max(lastSeq, snapshot.seq);
    },
    on(type, listener) {
      const entry = { type, listener: listener as (event: TaskEvent) => void };
      let wanted = true;
      // Not during the call that asks for it, but before any event that comes later.
      queueMicrotask(() => {
        if (!wanted) return;
        listeners.add(entry);
        for (const event of record.items()) if (event.type === type) tell(entry.listener, event);
      });
      return () => {
        wanted = false;
        listeners.delete(entry);
      };
    },
    iterate() {
      const reader = { box: new Mailbox<TaskEvent>(taskEventKey), wake: () => {} };
      for (const event of record.items()) reader.box.put(event);
      readers.add(reader);
      const stop = (): IteratorResult<TaskEvent> => {
        readers.delete(reader);
        return { done: true, value: undefined };
      };
      return {
        async next() {
          for (;;) {
            const event = reader.box.take();
            if (event) return { done: false, value: event };
            if (over || !readers.has(reader)) return stop();
            await new Promise<void>((resolve) => {
              reader.wake = resolve;
            });
          }
        },
        async return() {
          reader.wake();
          return stop();
        },
      };
    },
    end: finish,
    whenOver(then) {
      if (over) then();
      else waiting.push(then);
    },
  };
  return log;
}

function fromWire(event: PortTaskEvent): TaskEvent {
  if (event.type === "preview") return { ...event, image: imageBlob(event.image) };
  if (event.type === "failed") return { ...event, error: errorFromWire(event.error) as AnyComfyTabsError };
  return event;
}
