import { type AnyComfyTabsError, errorFromWire } from "../protocol/errors.ts";
import { isEnding, isRetained, Mailbox, taskEventKey } from "../protocol/mailbox.ts";
import type { PortTaskEvent, Progress, TaskSnapshot, TaskStatus } from "../protocol/tasks.ts";
import type { Logger, TaskEvent } from "./api.ts";
import { imageBlob } from "./image-blob.ts";
import { createListeners } from "./listeners.ts";

/** What this page knows of one task, for any number of readers, each at its own pace. */
export interface TaskLog {
  readonly status: TaskStatus;
  readonly promptId: string | undefined;
  readonly serverId: string | undefined;
  readonly progress: Progress | undefined;
  readonly lastSeq: number;
  readonly ending: TaskEvent | undefined;
  /** Why nothing more will come. */
  readonly over: "ended" | "dismissed" | "closed" | undefined;
  /** Takes one event; old news and everything after the ending are ignored. @returns whether it was news */
  take(event: PortTaskEvent): boolean;
  takeSnapshot(snapshot: TaskSnapshot): void;
  on(type: TaskEvent["type"], listener: (event: never) => void): () => void;
  iterate(): AsyncIterator<TaskEvent>;
  /** Nothing more will come: iterators end, whoever waits is woken. */
  end(why: "dismissed" | "closed"): void;
  /** Calls back once, when there is an ending or nothing more will come. @returns the function that ends it */
  whenOver(then: () => void): () => void;
}

interface Reader {
  readonly box: Mailbox<TaskEvent>;
  /** Gives what there is to whoever has asked. */
  serve(): void;
}

/** What a later snapshot may not undo: a new host has to find out again what the page has seen already. */
const stages: readonly TaskStatus[] = ["submitting", "queued", "running"];

export function createTaskLog(logger: Logger): TaskLog {
  const record = new Mailbox<TaskEvent>(taskEventKey);
  const readers = new Set<Reader>();
  const listeners = createListeners(logger);
  const waiting = new Set<() => void>();

  function reached(stage: TaskStatus): void {
    if (stages.indexOf(stage) > stages.indexOf(log.status)) log.status = stage;
  }

  function note(event: TaskEvent): void {
    // A task that waits here has a position, too, and is in no server's queue yet.
    if (event.type === "accepted") {
      ({ promptId: log.promptId, serverId: log.serverId } = event);
      reached("queued");
    } else if (event.type === "started") reached("running");
    else if (event.type === "progress") {
      const { nodeId, value, max, overall } = event;
      log.progress = { nodeId, value, max, ...(overall === undefined ? {} : { overall }) };
    } else if (isEnding(event)) {
      log.ending = event;
      log.status = event.type as TaskStatus;
      // Whoever comes now wants to know how it ended, not which picture was the last but one.
      record.drop((old) => !isRetained(old));
    }
  }

  function finish(why: TaskLog["over"]): void {
    log.over = why;
    for (const reader of readers) reader.serve();
    readers.clear();
    listeners.clear();
    for (const then of waiting) then();
    waiting.clear();
  }

  const log: { -readonly [Part in keyof TaskLog]: TaskLog[Part] } = {
    status: "submitting",
    promptId: undefined,
    serverId: undefined,
    progress: undefined,
    lastSeq: 0,
    ending: undefined,
    over: undefined,
    take(wire) {
      if (wire.seq <= log.lastSeq || log.over) return false;
      log.lastSeq = wire.seq;
      const event = fromWire(wire);
      note(event);
      record.put(event);
      for (const reader of readers) {
        reader.box.put(event);
        reader.serve();
      }
      listeners.tell(event.type, event);
      if (log.ending) finish("ended");
      return true;
    },
    takeSnapshot(snapshot) {
      for (const event of snapshot.events) log.take(event);
      if (log.over) return;
      reached(snapshot.status);
      log.promptId ??= snapshot.promptId;
      log.serverId ??= snapshot.serverId;
      log.lastSeq = Math.max(log.lastSeq, snapshot.seq);
    },
    on: (type, listener) =>
      listeners.add(type, listener, () => record.items().filter((event) => event.type === type)),
    iterate() {
      const box = new Mailbox<TaskEvent>(taskEventKey);
      const asking: ((result: IteratorResult<TaskEvent>) => void)[] = [];
      const reader: Reader = {
        box,
        serve() {
          while (asking.length > 0) {
            const event = box.take();
            if (!event && !log.over && readers.has(reader)) return;
            asking.shift()?.(event ? { done: false, value: event } : { done: true, value: undefined });
          }
        },
      };
      for (const event of record.items()) box.put(event);
      if (!log.over) readers.add(reader);
      return {
        next: () =>
          new Promise((resolve) => {
            asking.push(resolve);
            reader.serve();
          }),
        async return() {
          readers.delete(reader);
          box.drain();
          reader.serve();
          return { done: true, value: undefined };
        },
      };
    },
    end(why) {
      if (log.over !== "ended" || why === "dismissed") finish(why);
    },
    whenOver(then) {
      if (log.over) then();
      else waiting.add(then);
      return () => waiting.delete(then);
    },
  };
  return log;
}

function fromWire(event: PortTaskEvent): TaskEvent {
  if (event.type === "preview") return { ...event, image: imageBlob(event.image) };
  if (event.type === "failed") return { ...event, error: errorFromWire(event.error) as AnyComfyTabsError };
  return event;
}
