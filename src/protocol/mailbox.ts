import type { HostEvent } from "./session-api.ts";
import { isSettled, type TaskEventOf, type TaskStatus } from "./tasks.ts";

/**
 * Events that wait for a reader, in order, where news of some kinds replaces older news of the same:
 * a reader that does not read costs memory per task, not per message.
 *
 * The host keeps one per port (its outbox), the tab one per iterator.
 */
export class Mailbox<Item> {
  readonly #items = new Map<string, Item>();
  readonly #keyOf: (item: Item) => string;
  readonly #limitOf: (item: Item) => { readonly kind: string; readonly limit: number } | undefined;
  readonly #counts = new Map<string, number>();

  /**
   * @param keyOf two items with the same key: only the newer one is kept, at the end
   * @param limitOf how many items of a kind are kept; beyond that the oldest of the kind is dropped.
   *   Default: no limit
   */
  constructor(
    keyOf: (item: Item) => string,
    limitOf: (item: Item) => { readonly kind: string; readonly limit: number } | undefined = () => undefined,
  ) {
    this.#keyOf = keyOf;
    this.#limitOf = limitOf;
  }

  get size(): number {
    return this.#items.size;
  }

  put(item: Item): void {
    const key = this.#keyOf(item);
    this.#remove(key);
    this.#items.set(key, item);
    const bound = this.#limitOf(item);
    if (!bound) return;
    const count = (this.#counts.get(bound.kind) ?? 0) + 1;
    this.#counts.set(bound.kind, count);
    if (count > bound.limit) this.#removeOldest(bound.kind);
  }

  /** Takes the oldest item. */
  take(): Item | undefined {
    for (const [key, item] of this.#items) {
      this.#remove(key);
      return item;
    }
    return undefined;
  }

  /** Takes all at once: one by one, a map is searched through what it has forgotten. */
  drain(): Item[] {
    const items = this.items();
    this.#items.clear();
    this.#counts.clear();
    return items;
  }

  /** Forgets what `matches`. */
  drop(matches: (item: Item) => boolean): void {
    for (const [key, item] of this.#items) if (matches(item)) this.#remove(key);
  }

  items(): Item[] {
    return [...this.#items.values()];
  }

  #remove(key: string): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#items.delete(key);
    const kind = this.#limitOf(item)?.kind;
    if (kind !== undefined) this.#counts.set(kind, (this.#counts.get(kind) ?? 1) - 1);
  }

  #removeOldest(kind: string): void {
    for (const [key, item] of this.#items) {
      if (this.#limitOf(item)?.kind !== kind) continue;
      this.#remove(key);
      return;
    }
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
export const isRetained = ({ type }: TaskEventOf<unknown, unknown>): boolean => !passing.has(type);

const passing = new Set(["progress", "preview", "text", "node", "queued", "gap"]);

export const isEnding = ({ type }: TaskEventOf<unknown, unknown>): boolean => isSettled(type as TaskStatus);

/** What counts against a port's window: other events are small. */
export function previewBytes(events: readonly HostEvent[]): number {
  let bytes = 0;
  for (const event of events)
    if (event.kind === "task" && event.event.type === "preview") bytes += event.event.image.byteLength;
  return bytes;
}

export function hostEventKey(event: HostEvent): string {
  switch (event.kind) {
    case "task":
      return taskEventKey(event.event);
    case "server":
      return `server ${event.server.id}`;
    case "transfer":
      return `transfer ${event.transferId}`;
    case "lock":
      return `lock ${event.lockId}`;
    case "message":
      return `message #${event.number}`;
  }
}
