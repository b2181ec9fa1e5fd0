import { asArray, asId, asIds, asObject, asString } from "./json.ts";
import type { NodeFailure } from "./messages.ts";

/** The data of an `execution_error`, live or from the history. */
export function readFailure(value: unknown): NodeFailure {
  const data = asObject(value);
  return {
    nodeId: asId(data.node_id) ?? "",
    nodeType: asString(data.node_type) ?? "",
    exceptionType: asString(data.exception_type) ?? "",
    exceptionMessage: asString(data.exception_message) ?? "",
    traceback: asArray(data.traceback).filter((line) => typeof line === "string"),
    executed: asIds(data.executed),
  };
}
