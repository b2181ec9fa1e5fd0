import type { HostEvent } from "./session-api.ts";
import { isSettled, type TaskEventOf, type TaskStatus } from "./tasks.ts";

/**
 * Events that wait for a reader, in order, where news of some kinds replaces older news of the same:
 * a reader that does not read costs memory per task, not per message. The tab keeps one per iterator.
 */
export class Mailbox<Item> {
  protected readonly waiting = new Map<string, Item>();
  protected readonly keyOf: (item: Item) => string;

  /** @param keyOf two items with the same key: only the newer one is kept, at the end */
  constructor(keyOf: (item: Item) => string) {
    this.keyOf = keyOf;
  }

  get size(): number {
    return this.waiting.size;
  }

  put(item: Item): void {
    const key = this.keyOf(item);
    this.remove(key);
    this.waiting.set(key, item);
  }

  /** Takes the oldest item. */
  take(): Item | undefined {
    for (const [key, item] of this.waiting) {
      this.remove(key);
      return item;
    }
    return undefined;
  }

  /** Takes all at once: one by one, a map is searched through what it has forgotten. */
  drain(): Item[] {
    const items = this.items();
    this.waiting.clear();
    return items;
  }

  /** Forgets what `matches`. */
  drop(matches: (item: Item) => boolean): void {
    for (const [key, item] of this.waiting) if (matches(item)) this.remove(key);
  }

  items(): Item[] {
    return [...this.waiting.values()];
  }

  protected remove(key: string): void {
    this.waiting.delete(key);
  }
}

/** How many items of a kind are kept. */
export interface Bound {
  readonly kind: string;
  readonly limit: number;
}

/** One in which even different items of a kind are so many at most: the host keeps one per port (its outbox). */
export class BoundedMailbox<Item> extends Mailbox<Item> {
  readonly #boundOf: (item: Item) => Bound | undefined;
  readonly #counts = new Map<string, number>();

  /** @param boundOf beyond it, the oldest of the kind is dropped; undefined: no limit */
  constructor(keyOf: (item: Item) => string, boundOf: (item: Item) => Bound | undefined) {
    super(keyOf);
    this.#boundOf = boundOf;
  }

  override put(item: Item): void {
    super.put(item);
    const bound = this.#boundOf(item);
    if (bound && this.#count(bound, 1) > bound.limit) this.#removeOldest(bound.kind);
  }

  override drain(): Item[] {
    this.#counts.clear();
    return super.drain();
  }

  protected override remove(key: string): void {
    const item = this.waiting.get(key);
    const bound = item && this.#boundOf(item);
    if (bound) this.#count(bound, -1);
    super.remove(key);
  }

  #count({ kind }: Bound, more: number): number {
    const count = (this.#counts.get(kind) ?? 0) + more;
    this.#counts.set(kind, count);
    return count;
  }

  #removeOldest(kind: string): void {
    for (const [key, item] of this.waiting) {
      if (this.#boundOf(item)?.kind !== kind) continue;
      this.remove(key);
      return;
    }
  }
}

const newestPerNode = new Set(["progress", "preview", "text"]);
const newestPerTask = new Set(["node", "queued", "gap"]);

/** Whether a reader who comes late is still told of this event, or only of the newest of its kind. */
export const isRetained = ({ type }: TaskEventOf<unknown, unknown>): boolean =>
  !newestPerNode.has(type) && !newestPerTask.has(type);

/** The key under which newer news of a task replaces older: its own number where nothing may be dropped. */
export function taskEventKey(event: TaskEventOf<unknown, unknown>): string {
  const { taskId, type } = event;
  if (newestPerTask.has(type)) return `${taskId} ${type}`;
  const what = event.type === "warning" ? `warning ${event.code}` : newestPerNode.has(type) && type;
  const nodeId = "nodeId" in event ? event.nodeId : undefined;
  return what ? `${taskId} ${what} ${nodeId ?? ""}` : `${taskId} #${event.seq}`;
}

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
    case "journal":
      return event.kind;
    case "message":
      return `message #${event.number}`;
  }
}
