import type { HostEvent } from "./session-api.ts";
import type { TaskEventOf } from "./tasks.ts";

/**
 * Events that wait for a reader, in order, where news of some kinds replaces older news of the same:
 * a reader that does not read costs memory per task, not per message.
 *
 * The host keeps one per port (its outbox), the tab one per iterator.
 */
export class Mailbox<Item> {
  readonly #items = new Map<string, Item>();
  readonly #keyOf: (item: Item) => string;

  /** @param keyOf two items with the same key: only the newer one is kept, in its own place in the order */
  constructor(keyOf: (item: Item) => string) {
    this.#keyOf = keyOf;
  }

  get size(): number {
    return this.#items.size;
  }

  put(item: Item): void {
    const key = this.#keyOf(item);
    this.#items.delete(key);
    this.#items.set(key, item);
  }

  /** Takes the oldest item. */
  take(): Item | undefined {
    for (const [key, item] of this.#items) {
      this.#items.delete(key);
      return item;
    }
    return undefined;
  }

  /** Forgets what `matches`. */
  drop(matches: (item: Item) => boolean): void {
    for (const [key, item] of this.#items) if (matches(item)) this.#items.delete(key);
  }

  items(): Item[] {
    return [...this.#items.values()];
  }
}

/**
 * The key under which newer news of a task replaces older: its own number where nothing may be dropped.
 * `progress`, `preview` and `text` are newest-wins per node, `node`, `queued` and `gap` per task,
 * `warning` per code and node.
 */
export function taskEventKey(event: TaskEventOf<unknown, unknown>): string {
  switch (event.type) {
    case "progress":
    case "preview":
    case "text":
      return `${event.taskId} ${event.type} ${event.nodeId ?? ""}`;
    case "node":
    case "queued":
    case "gap":
      return `${event.taskId} ${event.type}`;
    case "warning":
      return `${event.taskId} warning ${event.code} ${event.nodeId ?? ""}`;
    default:
      return `${event.taskId} #${event.seq}`;
  }
}

/** Whether a reader who comes late is still told of this event, or only of the newest of its kind. */
export function isRetained({ type }: TaskEventOf<unknown, unknown>): boolean {
  const passing = ["progress", "preview", "text", "node", "queued", "gap"];
  return !passing.includes(type);
}

export const isEnding = (event: TaskEventOf<unknown, unknown>): boolean =>
  event.type === "succeeded" ||
  event.type === "failed" ||
  event.type === "cancelled" ||
  event.type === "lost";

export function hostEventKey(event: HostEvent): string {
  switch (event.kind) {
    case "task":
      return taskEventKey(event.event);
    case "server":
      return `server ${event.server.id}`;
    case "transfer":
      return `transfer ${event.transferId}`;
    case "message":
      return `message #${event.number}`;
  }
}
