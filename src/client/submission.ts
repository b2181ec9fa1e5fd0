import { nanoid } from "nanoid";
import { checkPlainData } from "../comfy/plain-data.ts";
import { ComfyTabsError } from "../protocol/errors.ts";
import type { Submission } from "../protocol/session-api.ts";
import type { SubmitOptions, Workflow } from "./api.ts";
import type { Request } from "./calls.ts";
import { cancelAfter, invalidOption } from "./options.ts";
import type { Page } from "./page.ts";

/**
 * What goes to the host of a workflow's options, which checks what is JSON.
 *
 * @throws {@link ComfyTabsError} `invalid-option`
 */
export function checkSubmission(
  workflow: Workflow,
  { server, affinity, front, extraData, label, whenTabGone = "keep" }: SubmitOptions,
  { uploads }: Pick<Page, "uploads">,
  randomBytes: (count: number) => Uint8Array,
): Request<Submission> {
  const filesAt = server === undefined ? holdersOf(workflow, uploads) : [];
  return {
    taskId: nanoid(),
    promptId: uuid(randomBytes),
    nodes: Object.keys(workflow ?? {}).length,
    filesAt: filesAt.length > 0 ? filesAt : undefined,
    server,
    affinity,
    front,
    extraData: extraData && checkExtraData(extraData),
    label,
    cancelAfterMs: cancelAfter(whenTabGone),
  };
}

/**
 * What JSON would change without a word is found here; all else about a workflow the host knows.
 *
 * @throws {@link ComfyTabsError} `workflow-invalid`
 */
export function workflowJson(workflow: Workflow): string {
  const problem = checkPlainData(workflow, "");
  if (problem) throw new ComfyTabsError(problem.code, problem.message, { path: problem.path });
  return JSON.stringify(workflow) ?? "null";
}

/** It arrives as it is, or not at all. */
function checkExtraData(extraData: { readonly [key: string]: unknown }): {
  readonly [key: string]: unknown;
} {
  const problem = checkPlainData(extraData, "extraData");
  if (problem) throw invalidOption("extraData", problem.message);
  return extraData;
}

/** What an input calls an uploaded file; only a folder other than `input` has to be named behind it (ComfyUI folder_paths.py). */
export const uploadKey = (input: string): string => input.replace(/ \[input\]$/, "");

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
const uuid = (randomBytes: (count: number) => Uint8Array): string =>
  "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".replace(/[xy]/g, (digit) => {
    const [byte = 0] = randomBytes(1);
    return (digit === "x" ? byte & 15 : (byte & 3) | 8).toString(16);
  });
