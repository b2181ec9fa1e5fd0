import type { JsonObject } from "../comfy/messages.ts";
import type { Prompt } from "./graph.ts";
import { queueItem } from "./wire.ts";

/** What is left of a prompt that has ended. */
export interface Remembered {
  readonly prompt: Prompt;
  readonly outputs: ReadonlyMap<string, JsonObject>;
  readonly succeeded: boolean;
  readonly messages: readonly { readonly type: string; readonly data: JsonObject }[];
}

const limit = 10_000;

export interface History {
  get(promptId: string): Remembered | undefined;
  all(): Iterable<Remembered>;
  put(entry: Remembered): void;
  remove(promptId: string): void;
  clear(): void;
  /** `GET /history`: the newest ones, or from an offset on. */
  page(maxItems: number | undefined, offset: number): object;
  one(promptId: string): object;
}

export function createHistory(): History {
  const entries = new Map<string, Remembered>();
  return {
    get: (promptId) => entries.get(promptId),
    all: () => entries.values(),
    put(entry) {
      if (entries.size >= limit) entries.delete(entries.keys().next().value!);
      entries.set(entry.prompt.promptId, entry);
    },
    remove: (promptId) => {
      entries.delete(promptId);
    },
    clear: () => entries.clear(),
    page(maxItems, offset) {
      const start = offset < 0 && maxItems !== undefined ? entries.size - maxItems : offset;
      const from = Math.max(0, start);
      const listed = [...entries.entries()].slice(from, maxItems === undefined ? undefined : from + maxItems);
      return Object.fromEntries(listed.map(([promptId, entry]) => [promptId, toWire(entry)]));
    },
    one(promptId) {
      const entry = entries.get(promptId);
      return entry === undefined ? {} : { [promptId]: toWire(entry) };
    },
  };
}

export const statusOf = ({ succeeded, messages }: Remembered): object => ({
  status_str: succeeded ? "success" : "error",
  completed: succeeded,
  messages: messages.map(({ type, data }) => [type, data]),
});

function toWire(entry: Remembered): object {
  const meta = [...entry.outputs.keys()].map((nodeId) => [
    nodeId,
    { node_id: nodeId, display_node: nodeId, parent_node: null, real_node_id: nodeId },
  ]);
  return {
    prompt: queueItem(entry.prompt),
    outputs: Object.fromEntries(entry.outputs),
    status: statusOf(entry),
    meta: Object.fromEntries(meta),
  };
}
