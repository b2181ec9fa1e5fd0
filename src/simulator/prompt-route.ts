import { isObject } from "../comfy/json.ts";
import type { JsonObject } from "../comfy/messages.ts";
import { type Answer, json } from "./answers.ts";
import type { Graph, Prompt } from "./graph.ts";
import type { ServerState } from "./server-state.ts";
import { PythonError, validatePrompt } from "./validation.ts";
import * as wire from "./wire.ts";

const canonicalUuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/;

/** `POST /prompt` (ComfyUI server.py, `post_prompt`). */
export function postPrompt(body: unknown, state: ServerState): Answer {
  if (typeof body !== "object" || body === null) throw new PythonError("TypeError", "not iterable");
  const fields: JsonObject = isObject(body) ? body : {};
  const number = priorityOf(fields, state);
  if (!("prompt" in fields))
    return refused(wire.wireError("no_prompt", "No prompt provided", "No prompt provided"));
  const promptId = promptIdOf(fields, state);
  if (promptId === undefined)
    return refused(
      wire.wireError(
        "invalid_prompt_id",
        "prompt_id must be a valid UUID",
        "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it to let the server generate one",
      ),
    );
  const graph = graphOf(fields.prompt, state);
  const targets = state.abilities.partialExecution ? fields.partial_execution_targets : undefined;
  const { error, outputs, nodeErrors } = validatePrompt(
    graph,
    Array.isArray(targets) ? targets : undefined,
    state.catalogue,
    state.files,
    state.abilities,
  );
  const extraData = fields.extra_data ?? {};
  if (!isObject(extraData)) throw new PythonError("TypeError", "extra_data does not support item assignment");
  if (error) return refused(error, nodeErrors);

  const clientId = "client_id" in fields ? fields.client_id : extraData.client_id;
  const prompt: Prompt = {
    number,
    promptId,
    askedId: typeof fields.prompt_id === "string" ? fields.prompt_id : undefined,
    graph,
    extraData: keptExtraData(extraData, fields, state),
    outputs,
    clientId: clientId ?? undefined,
    createdAt: Math.floor(state.now),
  };
  state.enqueue(prompt);
  return json(wire.accepted(prompt, nodeErrors));
}

const refused = (error: wire.WireError, nodeErrors: object = {}): Answer =>
  json(wire.refused(error, nodeErrors), 400);

/** Before nodes were replaced, an empty list was a graph without outputs. */
function graphOf(given: unknown, { abilities }: ServerState): Graph {
  if (isObject(given)) return given as Graph;
  if (!abilities.nodeReplacements && Array.isArray(given) && given.length === 0) return {};
  throw new PythonError("AttributeError", "object has no attribute 'items'");
}

/** A number of the client's own does not advance the counter; the first `front` of a server is -0. */
function priorityOf(fields: JsonObject, state: ServerState): number {
  if ("number" in fields) {
    const given = fields.number;
    const number = typeof given === "string" && given.trim() !== "" ? Number(given) : given;
    if (typeof number === "boolean") return Number(number);
    if (typeof number !== "number" || Number.isNaN(number))
      throw new PythonError("TypeError", "float() argument must be a string or a real number");
    return number;
  }
  const number = state.takeNumber();
  return fields.front ? -number : number;
}

/** Undefined: refused. Before 0.3.45 the client's id is ignored without a word. */
function promptIdOf(fields: JsonObject, { abilities, random }: ServerState): string | undefined {
  const given = fields.prompt_id;
  if (!abilities.chosenPromptId || given === undefined) return random.uuid();
  if (!abilities.uuidOnly) return String(given);
  if (given === null) return random.uuid();
  return typeof given === "string" && canonicalUuid.test(given) ? given : undefined;
}

function keptExtraData(
  extraData: JsonObject,
  fields: JsonObject,
  { abilities, now }: ServerState,
): JsonObject {
  // These two are secrets, and kept out of queue and history (ComfyUI execution.py, SENSITIVE_EXTRA_DATA_KEYS).
  const { auth_token_comfy_org: _token, api_key_comfy_org: _key, ...kept } = extraData;
  return {
    ...kept,
    ...("client_id" in fields ? { client_id: fields.client_id } : {}),
    ...(abilities.createTime ? { create_time: Math.floor(now) } : {}),
  };
}
