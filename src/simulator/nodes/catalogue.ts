import type { FileStore } from "../files.ts";
import { coreNodes } from "./core-nodes.ts";
import { imageNodes } from "./image-nodes.ts";
import type { NodeType } from "./node-type.ts";
import { protolabNodes } from "./protolab-nodes.ts";
import { samplerNodes } from "./sampler-nodes.ts";

export type Catalogue = ReadonlyMap<string, NodeType>;

/** All nodes the simulator knows, and the caller's own, which may replace them. */
export function createCatalogue(own: readonly NodeType[] = []): Catalogue {
  const all = [...coreNodes, ...imageNodes, ...samplerNodes, ...protolabNodes, ...own];
  return new Map(all.map((type) => [type.name, type]));
}

/** What `/object_info` says of a class, in ComfyUI's words. */
export function describe(type: NodeType, files: FileStore): object {
  const { required, optional, hidden } = type.inputs;
  const withFiles = (group: NonNullable<typeof required>): object =>
    Object.fromEntries(
      Object.entries(group).map(([name, [kind, options]]) => [
        name,
        options?.image_upload === true ? [files.names("input"), options] : options ? [kind, options] : [kind],
      ]),
    );
  return {
    input: {
      ...(required ? { required: withFiles(required) } : {}),
      ...(optional ? { optional: withFiles(optional) } : {}),
      ...(hidden ? { hidden } : {}),
    },
    input_order: {
      ...(required ? { required: Object.keys(required) } : {}),
      ...(optional ? { optional: Object.keys(optional) } : {}),
      ...(hidden ? { hidden: Object.keys(hidden) } : {}),
    },
    is_input_list: false,
    output: type.outputs,
    output_is_list: type.outputs.map(() => false),
    output_name: type.outputNames ?? type.outputs,
    name: type.name,
    display_name: type.displayName ?? type.name,
    description: "",
    python_module: type.module,
    category: type.category,
    output_node: type.isOutput === true,
    has_intermediate_output: false,
    search_aliases: [],
  };
}
