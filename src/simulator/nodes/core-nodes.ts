import type { InputSpec, NodeType } from "./node-type.ts";

const core = { module: "nodes" };

function primitive(name: string, type: string, options: object): NodeType {
  const input: InputSpec = [type, { ...options, multiline: undefined }];
  return {
    name,
    displayName: name.replace("Primitive", ""),
    category: "utils/primitive",
    module: "comfy_extras.nodes_primitive",
    inputs: { required: { value: input } },
    outputs: [type],
    run(inputs) {
      return { values: [inputs.value] };
    },
  };
}

function previewText(value: unknown): string {
  if (value === null || value === undefined) return "source does not exist.";
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return String(value);
  return JSON.stringify(value, undefined, 4) ?? "source exists, but could not be serialized.";
}

/** Nodes that every ComfyUI has and that need no model. */
export const coreNodes: readonly NodeType[] = [
  primitive("PrimitiveInt", "INT", { min: -(2 ** 53 - 1), max: 2 ** 53 - 1, control_after_generate: true }),
  primitive("PrimitiveFloat", "FLOAT", { min: -(2 ** 53 - 1), max: 2 ** 53 - 1 }),
  primitive("PrimitiveString", "STRING", {}),
  primitive("PrimitiveStringMultiline", "STRING", {}),
  primitive("PrimitiveBoolean", "BOOLEAN", {}),
  {
    ...core,
    name: "PreviewAny",
    displayName: "Preview as Text",
    category: "utils",
    module: "comfy_extras.nodes_preview_any",
    inputs: { required: { source: ["*", {}] } },
    outputs: ["STRING"],
    isOutput: true,
    run(inputs) {
      const text = previewText(inputs.source);
      return { values: [text], ui: { text: [text] } };
    },
  },
];
