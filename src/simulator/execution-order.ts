import { FatalGraph, type Graph, isLink } from "./graph.ts";

/** Which node runs next: ComfyUI's `ExecutionList` (comfy_execution/graph.py), without lazy inputs. */
export interface ExecutionOrder {
  next(): string | undefined;
  done(nodeId: string): void;
}

/** @throws {@link FatalGraph} where a node is linked and not there */
export function createExecutionOrder(
  graph: Graph,
  outputs: readonly string[],
  isCached: (nodeId: string) => boolean,
  isOutput: (nodeId: string) => boolean,
): ExecutionOrder {
  const waitsFor = new Map<string, number>();
  const blocks = new Map<string, Set<string>>();

  function add(first: string): void {
    const found = [first];
    const links: [from: string, to: string][] = [];
    for (let nodeId = found.pop(); nodeId !== undefined; nodeId = found.pop()) {
      if (waitsFor.has(nodeId)) continue;
      if (!Object.hasOwn(graph, nodeId)) throw new FatalGraph(`Node ${nodeId} not found`);
      waitsFor.set(nodeId, 0);
      blocks.set(nodeId, new Set());
      for (const value of Object.values(graph[nodeId]!.inputs)) {
        if (!isLink(value)) continue;
        if (!isCached(value[0])) found.push(value[0]);
        links.push([value[0], nodeId]);
      }
    }
    for (const [from, to] of links) {
      const blocked = blocks.get(from);
      if (blocked === undefined || blocked.has(to) || isCached(from)) continue;
      blocked.add(to);
      waitsFor.set(to, waitsFor.get(to)! + 1);
    }
  }
  for (const output of outputs) add(output);

  const blockedBy = (nodeId: string): string[] => [...(blocks.get(nodeId) ?? [])];

  return {
    next() {
      const ready: string[] = [];
      for (const [nodeId, count] of waitsFor) if (count === 0) ready.push(nodeId);
      // Outputs first, then what leads to one, then what leads there: `ux_friendly_pick_node`.
      return (
        ready.find(isOutput) ??
        ready.find((nodeId) => blockedBy(nodeId).some(isOutput)) ??
        ready.find((nodeId) => blockedBy(nodeId).some((behind) => blockedBy(behind).some(isOutput))) ??
        ready[0]
      );
    },
    done(nodeId) {
      waitsFor.delete(nodeId);
      for (const blocked of blocks.get(nodeId) ?? []) waitsFor.set(blocked, waitsFor.get(blocked)! - 1);
      blocks.delete(nodeId);
    },
  };
}
