import { isObject } from "./json.ts";

/** Why a workflow cannot be sent. */
export interface WorkflowProblem {
  readonly code: "workflow-format" | "workflow-invalid";
  /** Where, e.g. `3.inputs.model`; empty for the whole. */
  readonly path: string;
  /** One sentence that says what to do. */
  readonly message: string;
}

const deepest = 200;

/**
 * Finds what would be refused, or worse: a link to a node that is not there passes ComfyUI's validation
 * and then kills the thread that runs prompts, for everybody (ComfyUI execution.py).
 *
 * @returns the first problem, or undefined
 */
export function checkWorkflow(workflow: unknown): WorkflowProblem | undefined {
  const format = (path: string, message: string): WorkflowProblem => ({
    code: "workflow-format",
    path,
    message,
  });
  if (!isObject(workflow))
    return format("", "A workflow is an object of nodes by id, not text and not a list.");
  if (Array.isArray(workflow.nodes))
    return format(
      "nodes",
      'This workflow was saved for the editor: in ComfyUI choose "Export (API)" and pass that file.',
    );
  if (isObject(workflow.prompt) && !("class_type" in workflow.prompt))
    return format("prompt", "This is a request with a workflow inside: pass its `prompt`.");
  const nodes = Object.entries(workflow);
  if (nodes.length === 0) return format("", "The workflow has no nodes.");
  for (const [id, node] of nodes) {
    if (!isObject(node)) return format(id, `Node ${id} is not an object: pass the workflow in API format.`);
    if (typeof node.class_type !== "string" || node.class_type === "")
      return format(`${id}.class_type`, `Node ${id} has no class_type: pass the workflow in API format.`);
    if (!isObject(node.inputs)) return format(`${id}.inputs`, `Node ${id} has no inputs: pass at least {}.`);
    for (const [name, value] of Object.entries(node.inputs)) {
      const path = `${id}.inputs.${name}`;
      if (isLink(value) && !Object.hasOwn(workflow, value[0]))
        return invalid(path, `Input ${path} is linked to node ${value[0]}, which is not in the workflow.`);
    }
    const problem = checkValue(node, id, [workflow]);
    if (problem) return problem;
  }
  return checkLoops(workflow);
}

const invalid = (path: string, message: string): WorkflowProblem => ({
  code: "workflow-invalid",
  path,
  message,
});

const isLink = (value: unknown): value is [string, number] =>
  Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "number";

/** JSON would drop, change or refuse these without a word of where they are. */
function checkValue(value: unknown, path: string, above: readonly object[]): WorkflowProblem | undefined {
  if (typeof value === "number" && !Number.isFinite(value))
    return invalid(path, `${path} is ${value}, which JSON cannot say: pass a finite number.`);
  if (["bigint", "function", "symbol"].includes(typeof value))
    return invalid(path, `${path} is a ${typeof value}, which JSON cannot say.`);
  if (typeof value !== "object" || value === null) return undefined;
  if (above.includes(value)) return invalid(path, `${path} contains itself.`);
  if (above.length >= deepest) return invalid(path, `${path} lies deeper than ${deepest} levels.`);
  const inside = [...above, value];
  for (const [key, part] of Object.entries(value)) {
    if (part === undefined && Array.isArray(value))
      return invalid(`${path}.${key}`, `${path}.${key} is undefined: pass null or leave it out.`);
    const problem = checkValue(part, `${path}.${key}`, inside);
    if (problem) return problem;
  }
  return undefined;
}

/** Nodes that wait for each other would never run. */
function checkLoops(workflow: { readonly [id: string]: unknown }): WorkflowProblem | undefined {
  const linksOf = (id: string): string[] =>
    Object.values((workflow[id] as { inputs: object }).inputs).flatMap((value) =>
      isLink(value) ? [value[0]] : [],
    );
  const finished = new Set<string>();
  for (const start of Object.keys(workflow)) {
    const path: { id: string; rest: string[] }[] = [{ id: start, rest: linksOf(start) }];
    const open = new Set([start]);
    while (path.length > 0) {
      const here = path.at(-1) as { id: string; rest: string[] };
      const next = here.rest.pop();
      if (next === undefined) {
        path.pop();
        open.delete(here.id);
        finished.add(here.id);
      } else if (open.has(next)) {
        const loop = [...path.map(({ id }) => id), next];
        const shown = loop.slice(loop.indexOf(next)).join(" → ");
        return invalid(`${here.id}.inputs`, `These nodes wait for each other: ${shown}.`);
      } else if (!finished.has(next)) {
        open.add(next);
        path.push({ id: next, rest: linksOf(next) });
      }
    }
  }
  return undefined;
}
