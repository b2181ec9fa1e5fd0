import { readFailure } from "./failure.ts";
import { asObject, asObjects, asString, isObject, parseJson } from "./json.ts";
import type { JsonObject, NodeFailure } from "./messages.ts";

const statuses = ["pending", "in_progress", "completed", "failed", "cancelled"] as const;

/** A prompt as the jobs API tells it, whether it waits, runs or is over. */
export interface Job {
  readonly promptId: string;
  readonly status: (typeof statuses)[number];
  readonly outputs: { readonly [nodeId: string]: JsonObject };
  readonly failure?: NodeFailure;
}

/**
 * The answer to `GET /api/jobs/{id}`. Only ComfyUI's own words make a job "unknown": servers before 0.6 and
 * proxies answer 404, too, and that says nothing about the prompt. Undefined: it cannot be read.
 */
export function readJob(status: number, text: string): Job | "unknown" | undefined {
  const body = asObject(parseJson(text));
  if (status === 404 && body.error === "Job not found") return "unknown";
  const promptId = asString(body.id);
  const known = statuses.find((one) => one === body.status);
  if (status !== 200 || promptId === undefined || known === undefined) return undefined;
  return {
    promptId,
    status: known,
    outputs: asObjects(body.outputs),
    ...(isObject(body.execution_error) ? { failure: readFailure(body.execution_error) } : {}),
  };
}

/** The answer to `POST /api/jobs/{id}/cancel`; undefined if it is none. */
export function readCancelled(text: string): boolean | undefined {
  const { cancelled } = asObject(parseJson(text));
  return typeof cancelled === "boolean" ? cancelled : undefined;
}
