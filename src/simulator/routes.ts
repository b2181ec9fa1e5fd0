import { isObject, parseJson } from "../comfy/json.ts";
import type { JsonObject } from "../comfy/messages.ts";
import {
  type Answer,
  empty,
  json,
  notAllowed,
  type Request,
  serverError,
  splitTarget,
  type Upload,
} from "./answers.ts";
import { uploadImage, uploadMask, view } from "./file-routes.ts";
import { cancelJob, cancelJobs, listJobs, oneJob } from "./jobs-routes.ts";
import { describe } from "./nodes/catalogue.ts";
import { Incomparable } from "./prompt-queue.ts";
import { postPrompt } from "./prompt-route.ts";
import type { ServerState } from "./server-state.ts";
import { PythonError } from "./validation.ts";
import * as wire from "./wire.ts";

interface Call {
  readonly state: ServerState;
  readonly query: URLSearchParams;
  /** What the path has in place of a `*`. */
  readonly part: string;
  readonly body: Request["body"];
}

type Handler = (call: Call) => Answer;

/** Where a route lies: ComfyUI has most of them twice, with and without `/api` (server.py, `add_routes`). */
type Prefix = "either" | "api" | "none";

interface Route {
  readonly method: string;
  readonly path: RegExp;
  readonly prefix: Prefix;
  readonly answer: Handler;
  readonly exists: (state: ServerState) => boolean;
}

const always = (): boolean => true;

function route(
  pattern: string,
  answer: Handler,
  { prefix = "either" as Prefix, exists = always as Route["exists"] } = {},
): Route {
  const [method, path] = pattern.split(" ") as [string, string];
  return { method, path: new RegExp(`^${path.replace("*", "([^/]+)")}/?$`), prefix, answer, exists };
}

const inJobs = { prefix: "api" as const, exists: ({ abilities }: ServerState) => abilities.jobs };
const withCancel = { prefix: "api" as const, exists: ({ abilities }: ServerState) => abilities.cancelJob };
const withFlags = { exists: ({ abilities }: ServerState) => abilities.metadataPreviews };
const internal = { prefix: "none" as const };

/** To `/ws` without the headers that make a WebSocket of it. */
const noUpgrade: Answer = {
  status: 400,
  contentType: "text/plain; charset=utf-8",
  body: 'No WebSocket UPGRADE hdr: None\n Can "Upgrade" only to "WebSocket".',
  cors: false,
};

const routes: readonly Route[] = [
  route("GET /prompt", ({ state }) => json(wire.execInfo(state.queueRemaining()))),
  route("POST /prompt", ({ state, body }) => postPrompt(parsed(body), state)),
  route("GET /queue", ({ state }) =>
    json({
      queue_running: state.running ? [wire.queueItem(state.running)] : [],
      queue_pending: state.pending.map(wire.queueItem),
    }),
  ),
  route("POST /queue", changeQueue),
  route("POST /interrupt", interrupt),
  route("POST /free", ({ state, body }) => {
    if (asked(body).free_memory) state.freeMemory();
    return empty();
  }),
  route("GET /history", ({ state, query }) =>
    json(state.history.page(integer(query, "max_items"), integer(query, "offset") ?? -1)),
  ),
  route("GET /history/*", ({ state, part }) => json(state.history.one(part))),
  route("POST /history", changeHistory),
  route("GET /jobs", ({ state, query }) => listJobs(query, state), inJobs),
  route("GET /jobs/*", ({ state, part }) => oneJob(part, state), inJobs),
  route("POST /jobs/cancel", ({ state, body }) => cancelJobs(parsed(body), state), withCancel),
  route("POST /jobs/*/cancel", ({ state, part }) => cancelJob(part, state), withCancel),
  route("GET /view", ({ state, query }) => view(query, state)),
  route("POST /upload/image", ({ state, body }) => uploadImage(form(body), state)),
  route("POST /upload/mask", ({ state, body }) => uploadMask(form(body), state)),
  route("GET /ws", () => noUpgrade),
  route("GET /object_info", ({ state }) =>
    json(
      Object.fromEntries(
        [...state.catalogue.values()].map((type) => [type.name, describe(type, state.files)]),
      ),
    ),
  ),
  route("GET /object_info/*", ({ state, part }) => {
    const type = state.catalogue.get(part);
    return json(type ? { [part]: describe(type, state.files) } : {});
  }),
  route("GET /system_stats", ({ state }) => json(wire.systemStats(state.version))),
  route("GET /features", ({ state }) => json(wire.serverFlags(state.abilities)), withFlags),
  route("GET /embeddings", () => json([])),
  route("GET /extensions", () => json([])),
  route("GET /models", () => json(["checkpoints", "loras", "vae", "controlnet", "upscale_models"])),
  route("GET /models/*", () => json([])),
  route("GET /users", () => json({ storage: "server", migrated: false })),
  route("GET /settings", () => json({})),
  route(
    "GET /internal/logs",
    ({ state }) => json(state.logLines.map(({ t, m }) => `${t} - ${m}`).join("")),
    internal,
  ),
  route("GET /internal/logs/raw", ({ state }) => json({ entries: state.logLines, size: null }), internal),
  route(
    "PATCH /internal/logs/subscribe",
    ({ state, body }) => {
      const { clientId, enabled } = asked(body);
      state.subscribeToLogs(String(clientId), Boolean(enabled));
      return empty();
    },
    internal,
  ),
];

/** What the server answers, at once. An exception in a handler becomes aiohttp's 500, without CORS headers. */
export function answerRequest({ method, target, body }: Request, state: ServerState): Answer {
  const { path: given, query } = splitTarget(target);
  const isApi = given.startsWith("/api/");
  const path = decoded(isApi ? given.slice(4) : given);
  const fits = ({ prefix }: Route): boolean => prefix === "either" || (prefix === "api") === isApi;
  const there = routes.filter((one) => fits(one) && one.exists(state) && one.path.test(path));
  const found = there.find((one) => one.method === method || (one.method === "GET" && method === "HEAD"));
  // What is no route is a static file, which is not there; those can only be read.
  if (!found) return method === "GET" || method === "HEAD" ? empty(404) : notAllowed;
  const part = found.path.exec(path)?.[1] ?? "";
  try {
    return found.answer({ state, query, part, body });
  } catch (error) {
    if (error instanceof PythonError || error instanceof Incomparable) return serverError;
    throw error;
  }
}

/** A path that is not encoded well is none of ours, and stays as it is. */
function decoded(path: string): string {
  try {
    return decodeURI(path);
  } catch {
    return path;
  }
}

/** @throws where Python's `json` would */
function parsed(body: Request["body"]): unknown {
  const value = typeof body === "string" ? parseJson(body) : undefined;
  if (value === undefined) throw new PythonError("JSONDecodeError", "Expecting value");
  return value;
}

/** For handlers that call `.get` on what they were sent. */
function asked(body: Request["body"]): JsonObject {
  const value = parsed(body);
  if (!isObject(value)) throw new PythonError("AttributeError", "object has no attribute 'get'");
  return value;
}

const form = (body: Request["body"]): Upload =>
  typeof body === "object" ? body : { fields: {}, file: undefined };

function integer(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^\s*[+-]?\d+\s*$/.test(text)) throw new PythonError("ValueError", "invalid literal for int()");
  return Number(text);
}

const ids = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((id): id is string => typeof id === "string") : [];

/** Unknown and running prompts are passed over without a word. */
function changeQueue({ state, body }: Call): Answer {
  const { clear, delete: deleted } = asked(body);
  if (clear) state.clearQueue();
  for (const id of ids(deleted)) state.dequeue(id, "deleted");
  return empty();
}

function changeHistory({ state, body }: Call): Answer {
  const { clear, delete: deleted } = asked(body);
  if (clear) state.history.clear();
  for (const id of ids(deleted)) state.history.remove(id);
  return empty();
}

/** Before 0.3.57 nobody looks at the body: whatever runs is stopped. */
function interrupt({ state, body }: Call): Answer {
  const given = state.abilities.targetedInterrupt && typeof body === "string" ? body : "{}";
  const value = parseJson(given) ?? {};
  if (!isObject(value)) throw new PythonError("AttributeError", "object has no attribute 'get'");
  const { prompt_id: wanted } = value;
  if (!wanted || wanted === state.running?.promptId) state.interrupt();
  return empty();
}
