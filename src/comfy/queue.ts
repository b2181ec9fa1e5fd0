import { asArray, asNumber, asObject, asString, isObject, parseJson } from "./json.ts";

export interface QueueItem {
  readonly number: number;
  readonly promptId: string;
  readonly clientId: string | undefined;
}

export interface Queue {
  readonly running: readonly QueueItem[];
  /** In the order in which they will run. */
  readonly pending: readonly QueueItem[];
  /** Every item could be read: what is not among them is not in the queue. */
  readonly isWhole: boolean;
}

/** The answer to `GET /queue`; undefined if it is none. The server sends its heap as it lies: not sorted. */
export function readQueue(text: string): Queue | undefined {
  const body = parseJson(text);
  if (!isObject(body) || !Array.isArray(body.queue_running) || !Array.isArray(body.queue_pending))
    return undefined;
  const running = body.queue_running.flatMap(readItem);
  const pending = body.queue_pending.flatMap(readItem);
  return {
    running,
    pending: pending.sort(
      (a, b) => a.number - b.number || (a.promptId < b.promptId ? -1 : a.promptId > b.promptId ? 1 : 0),
    ),
    isWhole: running.length + pending.length === body.queue_running.length + body.queue_pending.length,
  };
}

function readItem(value: unknown): QueueItem[] {
  const [number, promptId, , extra] = asArray(value);
  if (typeof promptId !== "string") return [];
  return [{ number: asNumber(number) ?? 0, promptId, clientId: asString(asObject(extra).client_id) }];
}

/** The answer to `GET /prompt`, the cheapest question; undefined if it is not ComfyUI's. */
export const readQueueRemaining = (text: string): number | undefined =>
  asNumber(asObject(asObject(parseJson(text)).exec_info).queue_remaining);
