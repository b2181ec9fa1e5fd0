import { readFailure } from "./failure.ts";
import { asArray, asIds, asObject, isObject, parseJson } from "./json.ts";
import type { JsonObject, NodeFailure } from "./messages.ts";

/** How a prompt ended, as the server remembers it. */
export interface HistoryEntry {
  readonly promptId: string;
  readonly outputs: { readonly [nodeId: string]: JsonObject };
  readonly ending: "success" | "error" | "interrupted";
  readonly failure?: NodeFailure;
  readonly cachedNodeIds: readonly string[];
}

/** The answer to `GET /history/{id}`. Undefined: it cannot be read, which says nothing about the prompt. */
export function readHistory(text: string, promptId: string): HistoryEntry | "unknown" | undefined {
  const body = parseJson(text);
  if (!isObject(body)) return undefined;
  if (!Object.hasOwn(body, promptId)) return Object.keys(body).length === 0 ? "unknown" : undefined;
  const entry = asObject(body[promptId]);
  const status = asObject(entry.status);
  const messages = asArray(status.messages).map((message) => {
    const [type, data] = asArray(message);
    return { type, data };
  });
  const last = (type: string) => messages.findLast((message) => message.type === type)?.data;
  const failure = last("execution_error");
  // An interrupted run is also an "error"; only its last message tells (ComfyUI execution.py).
  const ending =
    last("execution_interrupted") !== undefined
      ? "interrupted"
      : status.status_str === "error" || failure !== undefined
        ? "error"
        : "success";
  const outputs = Object.entries(asObject(entry.outputs)).filter((pair): pair is [string, JsonObject] =>
    isObject(pair[1]),
  );
  return {
    promptId,
    outputs: Object.fromEntries(outputs),
    ending,
    ...(ending === "error" && failure !== undefined ? { failure: readFailure(failure) } : {}),
    cachedNodeIds: asIds(asObject(last("execution_cached")).nodes),
  };
}
