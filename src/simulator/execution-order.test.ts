import { describe, expect, test } from "vitest";
import { createExecutionOrder } from "./execution-order.ts";
import { FatalGraph, type Graph } from "./graph.ts";

const graph = (links: Readonly<Record<string, readonly string[]>>): Graph =>
  Object.fromEntries(
    Object.entries(links).map(([nodeId, from]) => [
      nodeId,
      { inputs: Object.fromEntries(from.map((id, place) => [`in${place}`, [id, 0]])) },
    ]),
  );

function orderOf(nodes: Graph, outputs: readonly string[], cached: readonly string[] = []): string[] {
  const order = createExecutionOrder(
    nodes,
    outputs,
    (id) => cached.includes(id),
    (id) => outputs.includes(id),
  );
  const ran: string[] = [];
  for (let nodeId = order.next(); nodeId !== undefined; nodeId = order.next()) {
    ran.push(nodeId);
    order.done(nodeId);
  }
  return ran;
}

describe("the order of nodes", () => {
  test("is that of the recorded run with a blocker: an output that is ready goes first", () => {
    expect(orderOf(graph({ 1: [], 2: ["3"], 3: ["1"], 4: ["1"] }), ["2", "4"])).toEqual(["1", "4", "3", "2"]);
  });

  test("is that of the recorded chain", () => {
    const chain = graph({ 1: [], 2: ["6"], 3: ["1"], 4: ["3"], 5: ["4"], 6: ["5"] });
    expect(orderOf(chain, ["2"])).toEqual(["1", "3", "4", "5", "6", "2"]);
  });

  test("prefers what leads to an output, then what leads there", () => {
    const nodes = graph({ far: [], mid: ["far"], near: [], end: ["near", "mid"] });
    expect(orderOf(nodes, ["end"])).toEqual(["near", "far", "mid", "end"]);
  });

  test("leaves out what no asked-for output needs", () => {
    expect(orderOf(graph({ a: [], b: ["a"], c: [], d: ["c"] }), ["b"])).toEqual(["a", "b"]);
  });

  test("leaves out what is cached and what only that needs, but announces cached outputs", () => {
    const nodes = graph({ a: [], b: ["a"], c: ["b"], d: ["c"] });
    expect(orderOf(nodes, ["d"], ["b"])).toEqual(["c", "d"]);
    expect(orderOf(nodes, ["d"], ["a", "b", "c", "d"])).toEqual(["d"]);
  });

  test("runs a node once that two wait for, and one that waits twice for the same", () => {
    expect(orderOf(graph({ a: [], b: ["a", "a"], c: ["a", "b"] }), ["c"])).toEqual(["a", "b", "c"]);
  });

  test("fails where ComfyUI's worker thread dies, at a link to a node that is not there", () => {
    expect(() => orderOf(graph({ a: ["gone"] }), ["a"])).toThrow(FatalGraph);
  });
});
