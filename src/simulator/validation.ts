import type { JsonObject } from "../comfy/messages.ts";
import type { ServerAbilities } from "./abilities.ts";
import type { FileStore } from "./files.ts";
import { classOf, type Graph, type GraphNode } from "./graph.ts";
import { pythonList, validateValue } from "./input-values.ts";
import type { Catalogue } from "./nodes/catalogue.ts";
import type { InputSpec, NodeType } from "./nodes/node-type.ts";
import { type WireError, wireError } from "./wire.ts";

export interface Verdict {
  /** Undefined: at least one output can run. */
  readonly error: WireError | undefined;
  readonly outputs: readonly string[];
  readonly nodeErrors: Record<string, NodeErrors>;
}

interface NodeErrors {
  readonly errors: readonly WireError[];
  readonly dependent_outputs: string[];
  readonly class_type: string;
}

/** What Python raises; the handler makes a 500 of it where ComfyUI does not catch it. */
export class PythonError extends Error {
  readonly type: string;
  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

interface Context {
  readonly graph: Graph;
  readonly catalogue: Catalogue;
  readonly files: FileStore;
  readonly abilities: ServerAbilities;
  readonly verdicts: Map<string, readonly WireError[] | "fine" | "behind-errors">;
  readonly visiting: string[];
}

/** ComfyUI's `validate_prompt` (execution.py). @param targets the outputs asked for, if not all */
export function validatePrompt(
  graph: Graph,
  targets: readonly unknown[] | undefined,
  catalogue: Catalogue,
  files: FileStore,
  abilities: ServerAbilities,
): Verdict {
  const outputs: string[] = [];
  for (const [nodeId, node] of Object.entries(graph)) {
    if (typeof node !== "object" || node === null)
      throw new PythonError("TypeError", "argument of type is not iterable");
    const type = catalogue.get(String(node.class_type));
    if (node.class_type === undefined || type === undefined)
      return { error: missingType(nodeId, node, abilities), outputs: [], nodeErrors: {} };
    if (type.isOutput && (targets === undefined || targets.includes(nodeId))) outputs.push(nodeId);
  }
  if (outputs.length === 0)
    return { error: wireError("prompt_no_outputs", "Prompt has no outputs", ""), outputs, nodeErrors: {} };

  const context: Context = { graph, catalogue, files, abilities, verdicts: new Map(), visiting: [] };
  const good: string[] = [];
  const sentences: string[] = [];
  const nodeErrors: Record<string, NodeErrors> = {};
  for (const output of outputs) {
    try {
      validateNode(output, context);
    } catch (error) {
      if (!(error instanceof PythonError)) throw error;
      context.verdicts.set(output, [
        wireError("exception_during_validation", "Exception when validating node", error.message, {
          exception_type: error.type,
          traceback: ['  File "execution.py", line 1184, in validate_prompt\n'],
        }),
      ]);
    }
    const verdict = context.verdicts.get(output);
    if (verdict === "fine") {
      good.push(output);
      continue;
    }
    if (Array.isArray(verdict))
      sentences.push(...verdict.map((error: WireError) => `${error.message}: ${error.details}`));
    for (const [nodeId, errors] of context.verdicts) {
      if (typeof errors === "string" || errors.length === 0) continue;
      nodeErrors[nodeId] ??= { errors, dependent_outputs: [], class_type: classOf(graph[nodeId]!) };
      nodeErrors[nodeId].dependent_outputs.push(output);
    }
  }
  const error =
    good.length > 0
      ? undefined
      : wireError(
          "prompt_outputs_failed_validation",
          "Prompt outputs failed validation",
          sentences.join("\n"),
        );
  return { error, outputs: good, nodeErrors };
}

function missingType(nodeId: string, node: GraphNode, abilities: ServerAbilities): WireError {
  const details = `Node ID '#${nodeId}'`;
  const known = node.class_type !== undefined;
  if (!abilities.missingNodeType)
    return wireError(
      "invalid_prompt",
      known
        ? `Cannot execute because node ${node.class_type} does not exist.`
        : "Cannot execute because a node is missing the class_type property.",
      details,
    );
  const title = node._meta?.title ?? null;
  const extra = {
    node_id: nodeId,
    class_type: node.class_type ?? null,
    node_title: title ?? node.class_type ?? null,
  };
  return known
    ? wireError(
        "missing_node_type",
        `Node '${title ?? node.class_type}' not found. The custom node may not be installed.`,
        details,
        extra,
      )
    : wireError(
        "missing_node_type",
        `Node '${title ?? `ID #${nodeId}`}' has no class_type. The workflow may be corrupted or a custom node is missing.`,
        details,
        extra,
      );
}

/** @returns whether the node and all before it can run */
function validateNode(nodeId: string, context: Context): boolean {
  const { graph, catalogue, verdicts, visiting } = context;
  const known = verdicts.get(nodeId);
  if (known !== undefined) return known === "fine";
  if (visiting.includes(nodeId)) return refuseCycle(nodeId, context);
  const node = graph[nodeId]!;
  const type = catalogue.get(classOf(node))!;
  if (node.inputs === undefined) throw new PythonError("KeyError", "'inputs'");
  visiting.push(nodeId);
  const errors: WireError[] = [];
  let upstream = true;
  const groups = [
    ["required", type.inputs.required],
    ["optional", type.inputs.optional],
  ] as const;
  for (const [category, group] of groups)
    for (const [name, spec] of Object.entries(group ?? {})) {
      const outcome = validateInput(nodeId, name, spec, category === "required", type, context);
      if (outcome === "behind-errors") upstream = false;
      else if (outcome !== undefined) errors.push(outcome);
    }
  visiting.pop();
  const wrong = errors.length === 0 ? type.check?.(node.inputs, context.files) : undefined;
  if (wrong !== undefined)
    errors.push(
      wireError(
        "custom_validation_failed",
        "Custom validation failed for node",
        `${wrong.input} - ${wrong.wrong}`,
        {
          input_name: wrong.input,
        },
      ),
    );
  const own = verdicts.get(nodeId);
  if (Array.isArray(own)) return false;
  verdicts.set(nodeId, errors.length > 0 ? errors : upstream ? "fine" : "behind-errors");
  return errors.length === 0 && upstream;
}

function refuseCycle(nodeId: string, { graph, abilities, verdicts, visiting }: Context): boolean {
  if (!abilities.refusesCycles) throw new PythonError("RecursionError", "maximum recursion depth exceeded");
  const cycle = visiting.slice(visiting.indexOf(nodeId));
  const named = [...cycle, nodeId].map((id) => `${id} (${classOf(graph[id]!)})`);
  for (const id of cycle)
    verdicts.set(id, [
      wireError("dependency_cycle", "Dependency cycle detected", named.join(" -> "), {
        node_id: id,
        cycle_nodes: cycle,
      }),
    ]);
  return false;
}

type Outcome = WireError | "behind-errors" | undefined;

function validateInput(
  nodeId: string,
  name: string,
  spec: InputSpec,
  required: boolean,
  type: NodeType,
  context: Context,
): Outcome {
  const { graph, catalogue, verdicts } = context;
  const inputs = graph[nodeId]!.inputs;
  if (!Object.hasOwn(inputs, name))
    return required
      ? wireError("required_input_missing", "Required input is missing", name, { input_name: name })
      : undefined;
  const config = [spec[0], spec[1] ?? {}];
  const about = (value: unknown): JsonObject => ({
    input_name: name,
    input_config: config,
    received_value: value,
  });
  const value = inputs[name];
  if (!Array.isArray(value)) return validateValue(name, value, spec, inputs, about, type);
  if (value.length !== 2)
    return wireError(
      "bad_linked_input",
      "Bad linked input, must be a length-2 list of [node_id, slot_index]",
      name,
      about(value),
    );
  const [fromId, slot] = value as [string, number];
  const from = Object.hasOwn(graph, fromId) ? graph[fromId] : undefined;
  if (from === undefined) throw new PythonError("KeyError", `'${fromId}'`);
  const given = catalogue.get(classOf(from))?.outputs[slot];
  if (given === undefined) throw new PythonError("IndexError", "tuple index out of range");
  if (!fits(given, spec[0]))
    return wireError(
      "return_type_mismatch",
      "Return type mismatch between linked nodes",
      `${name}, received_type(${given}) mismatch input_type(${Array.isArray(spec[0]) ? pythonList(spec[0]) : spec[0]})`,
      { input_name: name, input_config: config, received_type: given, linked_node: value },
    );
  try {
    return validateNode(fromId, context) ? undefined : "behind-errors";
  } catch (error) {
    if (!(error instanceof PythonError)) throw error;
    verdicts.set(fromId, [
      wireError("exception_during_inner_validation", "Exception when validating inner node", error.message, {
        input_name: name,
        input_config: config,
        exception_message: error.message,
        exception_type: error.type,
        traceback: ['  File "execution.py", line 965, in validate_inputs\n'],
        linked_node: value,
      }),
    ]);
    return "behind-errors";
  }
}

function fits(given: string, wanted: string | readonly string[]): boolean {
  if (given === "*" || wanted === "*") return true;
  return typeof wanted === "string" ? wanted.split(",").includes(given) : given === "COMBO";
}
