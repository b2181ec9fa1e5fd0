import { nanoid } from "nanoid";
import { checkJson, checkWorkflow } from "../comfy/workflow.ts";
import { ComfyTabsError } from "../protocol/errors.ts";
import { argumentLimit, type Submission, workflowLimit } from "../protocol/session-api.ts";
import type { SubmitOptions, Workflow } from "./api.ts";
import { invalidOption } from "./options.ts";
import type { Page } from "./page.ts";

/** What goes to the host of a workflow and its options. */
export interface CheckedSubmission {
  readonly submission: Submission;
  readonly workflow: string;
}

/**
 * Finds before anything is sent what could not be done.
 *
 * @throws {@link ComfyTabsError} `workflow-format`, `workflow-invalid`, `too-large`, `invalid-option`, `not-found`
 */
export function checkSubmission(
  workflow: Workflow,
  { server, front, extraData, signal, label }: SubmitOptions,
  { servers, uploads }: Pick<Page, "servers" | "uploads">,
  randomBytes: (count: number) => Uint8Array,
): CheckedSubmission {
  const json = workflowJson(workflow);
  if (server !== undefined) checkServer(server, servers);
  if (front !== undefined && typeof front !== "boolean")
    throw invalidOption("front", "`front` has to be true or false.");
  if (signal !== undefined && typeof signal?.addEventListener !== "function")
    throw invalidOption("signal", "`signal` has to be an AbortSignal.");
  const filesAt = server === undefined ? holdersOf(workflow, uploads) : [];
  const submission: Submission = {
    taskId: nanoid(),
    promptId: uuid(randomBytes(16)),
    nodes: Object.keys(workflow).length,
    ...(server === undefined ? {} : { server }),
    ...(filesAt.length > 0 ? { filesAt } : {}),
    ...(front ? { front } : {}),
    ...(extraData === undefined ? {} : { extraData: checkExtraData(extraData) }),
    ...(label === undefined ? {} : { label: checkLabel(label) }),
  };
  return { submission, workflow: json };
}

/** @throws {@link ComfyTabsError} `not-found` */
export function checkServer(server: string, servers: Page["servers"]): void {
  if (!servers.has(server))
    throw new ComfyTabsError("not-found", `This session has no server "${server}".`, { what: server });
}

export function checkLabel(label: unknown): string {
  if (typeof label === "string" && label !== "" && label.length <= 500) return label;
  throw invalidOption("label", "`label` has to be a text of 1 to 500 characters.");
}

function workflowJson(workflow: Workflow): string {
  const problem = checkWorkflow(workflow);
  if (problem) throw new ComfyTabsError(problem.code, problem.message, { path: problem.path });
  const json = JSON.stringify(workflow);
  if (json.length <= workflowLimit) return json;
  const message = `The workflow has ${json.length} characters of JSON; the limit is ${workflowLimit}.`;
  throw new ComfyTabsError("too-large", message, { size: json.length, limit: workflowLimit });
}

/** It arrives as it is, or not at all. */
function checkExtraData(extraData: { readonly [key: string]: unknown }): {
  readonly [key: string]: unknown;
} {
  if (typeof extraData !== "object" || extraData === null || Array.isArray(extraData))
    throw invalidOption("extraData", "`extraData` has to be an object of JSON values.");
  const problem = checkJson(extraData, "extraData");
  if (problem) throw invalidOption("extraData", problem.message);
  const size = JSON.stringify(extraData).length;
  const limit = argumentLimit / 2;
  if (size <= limit) return extraData;
  const message = `\`extraData\` has ${size} characters of JSON; the limit is ${limit}.`;
  throw new ComfyTabsError("too-large", message, { size, limit });
}

/** What an input calls an uploaded file; a folder other than `input` is named behind it (ComfyUI folder_paths.py). */
export const uploadKey = (input: string, folder = "input"): string =>
  / \[\w+\]$/.test(input) ? input : `${input} [${folder}]`;

/** The servers that hold every uploaded file which the workflow names. */
function holdersOf(workflow: Workflow, uploads: Page["uploads"]): string[] {
  let holders: Set<string> | undefined;
  for (const { inputs } of Object.values(workflow))
    for (const value of Object.values(inputs)) {
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
