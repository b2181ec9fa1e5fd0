import { isObject } from "../comfy/json.ts";
import type { JsonObject } from "../comfy/messages.ts";
import { type Answer, json } from "./answers.ts";
import type { Prompt } from "./graph.ts";
import { type Remembered, statusOf } from "./history.ts";
import type { ServerState } from "./server-state.ts";
import { PythonError } from "./validation.ts";

const statuses = ["pending", "in_progress", "completed", "failed", "cancelled"];
const anyUuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;

type Job = JsonObject & { readonly id: string; readonly status: string };

/** `GET /api/jobs` (ComfyUI comfy_execution/jobs.py). */
export function listJobs(query: URLSearchParams, state: ServerState): Answer {
  const wanted = (query.get("status") ?? "")
    .split(",")
    .map((status) => status.trim().toLowerCase())
    .filter((status) => status !== "");
  const unknown = wanted.filter((status) => !statuses.includes(status));
  if (unknown.length > 0)
    return badRequest(`Invalid status value(s): ${unknown.join(", ")}. Valid values: ${statuses.join(", ")}`);
  const sortBy = query.get("sort_by")?.toLowerCase() ?? "created_at";
  if (sortBy !== "created_at" && sortBy !== "execution_duration")
    return badRequest("sort_by must be 'created_at' or 'execution_duration'");
  const order = query.get("sort_order")?.toLowerCase() ?? "desc";
  if (order !== "asc" && order !== "desc") return badRequest("sort_order must be 'asc' or 'desc'");
  const [limit, offset] = [wholeNumber(query, "limit"), wholeNumber(query, "offset")];
  if (limit === "bad") return badRequest("limit must be an integer");
  if (limit !== undefined && limit <= 0) return badRequest("limit must be a positive integer");
  if (offset === "bad") return badRequest("offset must be an integer");

  const all = everyJob(state);
  const key = (job: JsonObject): number =>
    sortBy === "created_at"
      ? Number(job.create_time ?? 0)
      : Number(job.execution_end_time ?? 0) - Number(job.execution_start_time ?? 0);
  const listed = all
    .filter((job) => wanted.length === 0 || wanted.includes(job.status))
    .filter((job) => !query.has("workflow_id") || job.workflow_id === query.get("workflow_id"))
    .sort((a, b) => (order === "asc" ? key(a) - key(b) : key(b) - key(a)));
  const from = Math.max(0, offset ?? 0);
  const page = listed.slice(from, limit === undefined ? undefined : from + limit);
  const more = from + page.length < listed.length;
  return json({
    jobs: page,
    pagination: { offset: from, limit: limit ?? null, total: listed.length, has_more: more },
  });
}

export function oneJob(promptId: string, state: ServerState): Answer {
  const remembered = state.history.get(promptId);
  if (remembered) {
    const { prompt, outputs } = remembered;
    return json({
      ...finishedJob(remembered),
      outputs: Object.fromEntries(outputs),
      execution_status: statusOf(remembered),
      workflow: { prompt: prompt.graph, extra_data: prompt.extraData },
    });
  }
  const waiting = [...(state.running ? [state.running] : []), ...state.pending].find(
    (prompt) => prompt.promptId === promptId,
  );
  return waiting ? json(openJob(waiting, state)) : json({ error: "Job not found" }, 404);
}

/** `POST /api/jobs/{id}/cancel`: atomic, and false for what is over or unknown. */
export const cancelJob = (promptId: string, state: ServerState): Answer =>
  json({ cancelled: cancelOne(promptId, state) });

export function cancelJobs(body: unknown, state: ServerState): Answer {
  const ids = isObject(body) ? body.job_ids : undefined;
  if (!Array.isArray(ids)) return badRequest("job_ids must be a list");
  const invalid = ids.filter((id) => typeof id !== "string" || !anyUuid.test(id));
  if (invalid.length > 0) return json({ error: "job_ids contains invalid id(s)", invalid_ids: invalid }, 400);
  let cancelled = false;
  for (const id of ids as string[]) cancelled = cancelOne(id, state) || cancelled;
  return json({ cancelled });
}

function cancelOne(promptId: string, state: ServerState): boolean {
  if (state.running?.promptId === promptId) {
    state.interrupt();
    return true;
  }
  return state.dequeue(promptId, "cancelled");
}

const everyJob = (state: ServerState): Job[] => [
  ...(state.running ? [openJob(state.running, state)] : []),
  ...state.pending.map((prompt) => openJob(prompt, state)),
  ...[...state.history.all()].map(finishedJob),
];

function openJob(prompt: Prompt, state: ServerState): Job {
  return {
    id: prompt.promptId,
    status: prompt === state.running ? "in_progress" : "pending",
    priority: prompt.number,
    create_time: prompt.createdAt,
    outputs_count: 0,
    previewable_outputs_count: 0,
    ...workflowId(prompt),
  };
}

function finishedJob({ prompt, outputs, succeeded, messages }: Remembered): Job {
  const dated = messages.map(({ data }) => data.timestamp).filter((at) => typeof at === "number");
  const failure = messages.find(({ type }) => type === "execution_error")?.data;
  const shown = [...outputs].flatMap(([nodeId, output]) => shownItems(nodeId, output));
  const items = shown.filter(({ content }) => content === undefined);
  const media = items.filter(({ mediaType }) => mediaTypes.includes(String(mediaType)));
  const preview =
    media.find(({ type }) => type === "output") ?? media[0] ?? shown.find(({ content }) => content);
  return {
    id: prompt.promptId,
    status: succeeded ? "completed" : failure ? "failed" : "cancelled",
    priority: prompt.number,
    create_time: prompt.createdAt,
    execution_start_time: dated[0],
    execution_end_time: dated.at(-1),
    ...(failure ? { execution_error: failure } : {}),
    outputs_count: items.length,
    previewable_outputs_count: media.length,
    ...(preview ? { preview_output: preview } : {}),
    ...workflowId(prompt),
  };
}

const mediaTypes = ["images", "video", "audio", "3d", "text"];

/** Objects of any kind count, as files do; texts do not, and are shown where there is nothing better. */
function shownItems(nodeId: string, output: JsonObject): JsonObject[] {
  return Object.entries(output).flatMap(([mediaType, items]) =>
    (Array.isArray(items) ? items : []).flatMap((item: unknown) => {
      if (isObject(item)) return [{ ...item, nodeId, mediaType }];
      return mediaType === "text" && typeof item === "string" ? [{ content: item, nodeId, mediaType }] : [];
    }),
  );
}

/** ComfyUI stumbles over a null where it expects an object, and with it the whole list. */
function workflowId({ extraData }: Prompt): { workflow_id?: unknown } {
  if (!("extra_pnginfo" in extraData)) return {};
  const info = extraData.extra_pnginfo;
  if (!isObject(info)) throw new PythonError("AttributeError", "'NoneType' object has no attribute 'get'");
  if (!("workflow" in info)) return {};
  if (!isObject(info.workflow))
    throw new PythonError("AttributeError", "'NoneType' object has no attribute 'get'");
  return info.workflow.id === undefined ? {} : { workflow_id: info.workflow.id };
}

function wholeNumber(query: URLSearchParams, name: string): number | "bad" | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  return /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : "bad";
}

const badRequest = (error: string): Answer => json({ error }, 400);
