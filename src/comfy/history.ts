import { readFailure } from "./failure.ts";
import { asArray, asIds, asObject, asObjects, isObject, parseJson } from "./json.ts";
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
  const entry = body[promptId];
  if (!isObject(entry)) return undefined;
  const status = asObject(entry.status);
  const messages = asArray(status.messages).map((message) => {
    const [type, data] = asArray(message);
    return { type, data };
  });
  const last = (type: string) => messages.findLast((message) => message.type === type)?.data;
  const failure = last("execution_error");
  const ending = endingOf(
    status.status_str,
    last("execution_interrupted") !== undefined,
    failure !== undefined,
  );
  return {
    promptId,
    outputs: asObjects(entry.outputs),
    ending,
    ...(ending === "error" && failure !== undefined ? { failure: readFailure(failure) } : {}),
    cachedNodeIds: asIds(asObject(last("execution_cached")).nodes),
  };
}

/** An interrupted run is also an "error"; only its messages tell (ComfyUI execution.py). Old entries have no status. */
function endingOf(status: unknown, interrupted: boolean, failed: boolean): HistoryEntry["ending"] {
  if (status === "success") return "success";
  if (interrupted) return "interrupted";
  return status === "error" || failed ? "error" : "success";
}
