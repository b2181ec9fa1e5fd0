import { asArray, asIds, asNumber, asObject, asString, isObject, parseJson, present } from "./json.ts";
import type { JsonObject } from "./messages.ts";

export interface PromptOptions {
  readonly clientId: string;
  readonly promptId: string;
  /** Before everything that waits. */
  readonly front?: boolean;
  /** Smaller runs earlier. */
  readonly number?: number;
  readonly extraData?: JsonObject;
}

/** The body of `POST /prompt`, around a workflow that is JSON already: it may have megabytes. */
export function promptBody(workflowJson: string, options: PromptOptions): string {
  const rest = JSON.stringify({
    client_id: options.clientId,
    prompt_id: options.promptId,
    front: options.front || undefined,
    number: options.number,
    extra_data: options.extraData,
  });
  return `{"prompt":${workflowJson},${rest.slice(1)}`;
}

/** The server's own words on what is wrong. */
export interface Refusal {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extraInfo?: unknown;
}

export interface NodeRefusal {
  readonly classType: string;
  readonly errors: readonly Refusal[];
  readonly dependentOutputs: readonly string[];
}

export type PromptAnswer =
  | {
      readonly outcome: "accepted";
      readonly promptId: string;
      readonly number: number | undefined;
      /** Not empty: these outputs are invalid and do not run, the others do. */
      readonly nodeErrors: { readonly [nodeId: string]: NodeRefusal };
    }
  | {
      readonly outcome: "rejected";
      readonly error: Refusal;
      readonly nodeErrors: { readonly [nodeId: string]: NodeRefusal };
    }
  | { readonly outcome: "unreadable"; readonly reason: string };

export function readPromptAnswer(status: number, text: string): PromptAnswer {
  const body = parseJson(text);
  if (!isObject(body)) return { outcome: "unreadable", reason: `HTTP ${status} without a JSON object` };
  const nodeErrors = Object.fromEntries(
    Object.entries(asObject(body.node_errors)).map(([nodeId, value]) => [nodeId, readNodeRefusal(value)]),
  );
  const promptId = asString(body.prompt_id);
  if (status === 200 && promptId !== undefined)
    return { outcome: "accepted", promptId, number: asNumber(body.number), nodeErrors };
  if (status === 400 && (isObject(body.error) || typeof body.error === "string"))
    return { outcome: "rejected", error: readRefusal(body.error), nodeErrors };
  return { outcome: "unreadable", reason: `HTTP ${status} with an unknown JSON object` };
}

function readRefusal(value: unknown): Refusal {
  // Very old servers and some custom nodes answer with a bare sentence.
  if (typeof value === "string") return { type: "error", message: value, details: "" };
  const { type, message, details, extra_info } = asObject(value);
  return {
    type: asString(type) ?? "",
    message: asString(message) ?? "",
    details: asString(details) ?? "",
    ...present({ extraInfo: extra_info }),
  };
}

function readNodeRefusal(value: unknown): NodeRefusal {
  const data = asObject(value);
  return {
    classType: asString(data.class_type) ?? "",
    errors: asArray(data.errors).map(readRefusal),
    dependentOutputs: asIds(data.dependent_outputs),
  };
}
