import type { JsonObject } from "../comfy/messages.ts";
import type { FileStore } from "./files.ts";
import { classOf, FatalGraph, type Graph, isLink } from "./graph.ts";
import type { Catalogue } from "./nodes/catalogue.ts";
import type { NodeResult } from "./nodes/node-type.ts";
import { seedOf } from "./random.ts";

/** Results of nodes, by what they depend on. Like ComfyUI's, it keeps those of the newest prompt only. */
export interface Cache {
  /**
   * The keys of a graph's nodes; forgets results that are none of theirs.
   * @throws {@link FatalGraph} for a node without inputs, also where no output needs it
   */
  begin(graph: Graph, catalogue: Catalogue, files: FileStore): ReadonlyMap<string, string>;
  get(key: string): NodeResult | undefined;
  set(key: string, result: NodeResult): void;
  clear(): void;
}

export function createCache(): Cache {
  const results = new Map<string, NodeResult>();
  return {
    begin(graph, catalogue, files) {
      const keys = keysOf(graph, catalogue, files);
      const kept = new Set(keys.values());
      for (const key of results.keys()) if (!kept.has(key)) results.delete(key);
      return keys;
    },
    get: (key) => results.get(key),
    set: (key, result) => {
      results.set(key, result);
    },
    clear: () => results.clear(),
  };
}

function keysOf(graph: Graph, catalogue: Catalogue, files: FileStore): Map<string, string> {
  const keys = new Map<string, string>();
  const visit = (nodeId: string): string => {
    const known = keys.get(nodeId);
    if (known !== undefined) return known;
    const node = Object.hasOwn(graph, nodeId) ? graph[nodeId] : undefined;
    if (node === undefined) return `missing ${nodeId}`;
    if (node.inputs === undefined) throw new FatalGraph(`node ${nodeId} has no inputs`);
    const type = catalogue.get(classOf(node));
    const inputs = Object.entries(node.inputs)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => (isLink(value) ? [name, digest(visit(value[0])), value[1]] : [name, value]));
    const fingerprint = type?.fingerprint?.(node.inputs as JsonObject, files);
    // An id of its own, as long as the class asks for it (ComfyUI: hidden UNIQUE_ID).
    const own = type?.inputs.hidden?.unique_id === undefined ? undefined : nodeId;
    const key = JSON.stringify([classOf(node), fingerprint, own, inputs]);
    keys.set(nodeId, key);
    return key;
  };
  for (const nodeId of Object.keys(graph)) visit(nodeId);
  return keys;
}

/** 64 bits of a key, so that long chains do not make long keys. */
const digest = (key: string): string => `${seedOf(key).toString(36)}.${seedOf(key, 0x12345678).toString(36)}`;
