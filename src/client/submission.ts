import { nanoid } from "nanoid";
import { isObject, present } from "../comfy/json.ts";
import { checkPlainData } from "../comfy/plain-data.ts";
import { ComfyTabsError } from "../protocol/errors.ts";
import { argumentLimit, type Submission, workflowLimit } from "../protocol/session-api.ts";
import type { SubmitOptions, Workflow } from "./api.ts";
import { cancelAfter, demand, invalidOption, isText } from "./options.ts";
import type { Page } from "./page.ts";

/** What goes to the host of a workflow and its options. */
export interface CheckedSubmission {
  readonly submission: Submission;
  readonly workflow: string;
}

/**
 * Finds before anything is sent what could not be done.
 *
 * @throws {@link ComfyTabsError} `workflow-invalid`, `too-large`, `invalid-option`, `not-found`
 */
export function checkSubmission(
  workflow: Workflow,
  { server, affinity, front, extraData, signal, label, whenTabGone = "keep" }: SubmitOptions,
  { servers, uploads }: Pick<Page, "servers" | "uploads">,
  randomBytes: (count: number) => Uint8Array,
): CheckedSubmission {
  const json = workflowJson(workflow);
  if (server !== undefined) checkServer(server, servers);
  demand(affinity === undefined || affinity === "tab" || affinity === "none", "affinity", '"tab" or "none"');
  demand(front === undefined || typeof front === "boolean", "front", "true or false");
  demand(signal === undefined || typeof signal?.addEventListener === "function", "signal", "an AbortSignal");
  const filesAt = server === undefined ? holdersOf(workflow, uploads) : [];
  const submission: Submission = {
    taskId: nanoid(),
    promptId: uuid(randomBytes(16)),
    nodes: Object.keys(workflow ?? {}).length,
    ...(filesAt.length > 0 ? { filesAt } : {}),
    ...present({
      server,
      affinity: affinity === "tab" ? affinity : undefined,
      front: front || undefined,
      extraData: extraData === undefined ? undefined : checkExtraData(extraData),
      label: checkLabel(label),
    }),
    ...cancelAfter(whenTabGone),
  };
  return { submission, workflow: json };
}

/** @throws {@link ComfyTabsError} `not-found` */
export function checkServer(server: string, servers: Page["servers"]): void {
  if (!servers.has(server))
    throw new ComfyTabsError("not-found", `This session has no server "${server}".`, { what: server });
}

export function checkLabel(label: string | undefined): string | undefined {
  demand(label === undefined || isText(label, 500), "label", "a text of 1 to 500 characters");
  return label;
}

/** What JSON would change without a word is found here; all else about a workflow the host knows. */
function workflowJson(workflow: Workflow): string {
  const problem = checkPlainData(workflow, "");
  if (problem) throw new ComfyTabsError(problem.code, problem.message, { path: problem.path });
  const json = JSON.stringify(workflow) ?? "null";
  checkSize("The workflow", json, workflowLimit);
  return json;
}

function checkSize(what: string, { length: size }: string, limit: number): void {
  if (size <= limit) return;
  const message = `${what} has ${size} characters of JSON; the limit is ${limit}.`;
  throw new ComfyTabsError("too-large", message, { size, limit });
}

/** It arrives as it is, or not at all. */
function checkExtraData(extraData: { readonly [key: string]: unknown }): {
  readonly [key: string]: unknown;
} {
  demand(isObject(extraData), "extraData", "an object of JSON values");
  const problem = checkPlainData(extraData, "extraData");
  if (problem) throw invalidOption("extraData", problem.message);
  checkSize("`extraData`", JSON.stringify(extraData), argumentLimit / 2);
  return extraData;
}

/** What an input calls an uploaded file; a folder other than `input` is named behind it (ComfyUI folder_paths.py). */
export const uploadKey = (input: string, folder = "input"): string =>
  / \[\w+\]$/.test(input) ? input : `${input} [${folder}]`;

/** The servers that hold every uploaded file which the workflow names. */
function holdersOf(workflow: Workflow, uploads: Page["uploads"]): string[] {
  if (uploads.size === 0) return [];
  let holders: Set<string> | undefined;
  for (const node of Object.values(workflow ?? {}))
    for (const value of Object.values(node?.inputs ?? {})) {
      const at = typeof value === "string" ? uploads.get(uploadKey(value)) : undefined;
      if (at) holders = holders ? new Set([...holders].filter((id) => at.has(id))) : at;
    }
  return [...(holders ?? [])];
}

/** Version 4, made by hand: `crypto.randomUUID` is missing on insecure origins, such as a LAN's. */
function uuid(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte, place) => {
    const value = place === 6 ? (byte & 0x0f) | 0x40 : place === 8 ? (byte & 0x3f) | 0x80 : byte;
    return value.toString(16).padStart(2, "0");
  });
  return hex.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
