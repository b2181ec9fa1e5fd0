import { isObject } from "./json.ts";
import type { JsonObject } from "./messages.ts";
import { nestingLimit, tooDeep, type WorkflowProblem } from "./plain-data.ts";

/**
 * Finds what would be refused, or worse: a link to a node that is not there can pass ComfyUI's validation
 * and then kill the thread that runs prompts, for everybody (ComfyUI execution.py).
 *
 * @param workflow as parsed from JSON: what JSON cannot say is {@link checkPlainData}'s to find
 * @returns the first problem, or undefined
 */
export function checkWorkflow(workflow: unknown): WorkflowProblem | undefined {
  if (!isObject(workflow))
    return format(
      "",
      "A workflow is an object of nodes by id: parse the file that ComfyUI exported and pass that.",
    );
  if (Array.isArray(workflow.nodes))
    return format(
      "nodes",
      'This workflow was saved for the editor: in ComfyUI choose "Export (API)", or "Save (API Format)" in older versions, and pass that file.',
    );
  if (isObject(workflow.prompt) && !Object.hasOwn(workflow.prompt, "class_type"))
    return format("prompt", "This is a request with a workflow in it: pass its `prompt`.");
  const nodes = Object.entries(workflow);
  if (nodes.length === 0)
    return format("", "The workflow has no nodes: pass one that has at least an output node.");
  for (const [id, node] of nodes) {
    const problem = checkNode(workflow, id, node);
    if (problem) return problem;
  }
  return checkLoops(workflow);
}

const format = (path: string, message: string): WorkflowProblem => ({
  code: "workflow-format",
  path,
  message,
});
const invalid = (path: string, message: string): WorkflowProblem => ({
  code: "workflow-invalid",
  path,
  message,
});

function checkNode(workflow: JsonObject, id: string, node: unknown): WorkflowProblem | undefined {
  if (!isObject(node)) return format(id, `Node ${id} is not an object: pass a workflow in API format.`);
  if (typeof node.class_type !== "string" || node.class_type === "")
    return format(`${id}.class_type`, `Node ${id} has no class_type: pass a workflow in API format.`);
  if (!isObject(node.inputs)) return format(`${id}.inputs`, `Node ${id} has no inputs: give it at least {}.`);
  for (const { path, to } of linksOf(id, node.inputs)) {
    if (!Object.hasOwn(workflow, to))
      return invalid(
        path,
        `${path} is linked to node ${to}, which is not in the workflow: add it, or wrap a list that is no link as {"__value__": […]}.`,
      );
  }
  return isNestedDeeper(node, nestingLimit - 1) ? tooDeep(id) : undefined;
}

const isNestedDeeper = (value: unknown, levels: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (levels === 0 || Object.values(value).some((part) => isNestedDeeper(part, levels - 1)));

interface Link {
  readonly path: string;
  readonly to: string;
}

/** What ComfyUI takes for a link; Python's booleans are numbers, too (ComfyUI graph_utils.py). */
const isLink = (value: unknown): value is [string, number | boolean] =>
  Array.isArray(value) &&
  value.length === 2 &&
  typeof value[0] === "string" &&
  (typeof value[1] === "number" || typeof value[1] === "boolean");

const linksOf = (id: string, inputs: object): Link[] =>
  Object.entries(inputs).flatMap(([name, value]) =>
    isLink(value) ? [{ path: `${id}.inputs.${name}`, to: value[0] }] : [],
  );

/** Nodes that wait for each other would never run. Without recursion: a chain may have thousands of nodes. */
function checkLoops(workflow: JsonObject): WorkflowProblem | undefined {
  const visit = (id: string) => ({ id, links: linksOf(id, (workflow[id] as { inputs: object }).inputs) });
  const finished = new Set<string>();
  for (const start of Object.keys(workflow)) {
    const trail = [visit(start)];
    const open = new Set([start]);
    for (let here = trail.at(-1); here; here = trail.at(-1)) {
      const link = here.links.pop();
      if (!link) {
        trail.pop();
        open.delete(here.id);
        finished.add(here.id);
      } else if (open.has(link.to)) {
        const ids = trail.map(({ id }) => id);
        const loop = [...ids.slice(ids.indexOf(link.to)), link.to];
        const shown = loop.length > 10 ? [...loop.slice(0, 4), "…", ...loop.slice(-3)] : loop;
        return invalid(
          link.path,
          `These nodes wait for each other: ${shown.join(" → ")}: remove one of the links.`,
        );
      } else if (!finished.has(link.to)) {
        open.add(link.to);
        trail.push(visit(link.to));
      }
    }
  }
  return undefined;
}
