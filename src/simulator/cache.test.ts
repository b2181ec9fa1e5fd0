import { describe, expect, test } from "vitest";
import { createCache } from "./cache.ts";
import { createFileStore, fromBytes } from "./files.ts";
import { FatalGraph, type Graph } from "./graph.ts";
import { createCatalogue } from "./nodes/catalogue.ts";

const catalogue = createCatalogue();
const files = createFileStore();
const value = (number: number) => ({ class_type: "PrimitiveInt", inputs: { value: number } });
const preview = (from: string) => ({ class_type: "PreviewAny", inputs: { source: [from, 0] } });

function keysOf(graph: Graph): ReadonlyMap<string, string> {
  return createCache().begin(graph, catalogue, files);
}

describe("the key of a node", () => {
  test("is the same for the same class and inputs, whatever its id and the order of its inputs", () => {
    const steps = (inputs: Record<string, unknown>) => ({ class_type: "ProtoSteps", inputs });
    const keys = keysOf({ 1: steps({ steps: 1, seed: 2 }), 9: steps({ seed: 2, steps: 1 }) });
    expect(keys.get("1")).toBe(keys.get("9"));
  });

  test("changes with a value anywhere before the node", () => {
    const [one, two] = [1, 2].map((number) => keysOf({ 1: value(number), 2: preview("1"), 3: preview("2") }));
    for (const nodeId of ["1", "2", "3"]) expect(one!.get(nodeId)).not.toBe(two!.get(nodeId));
    expect(keysOf({ 1: value(1), 2: preview("1"), 3: preview("2") })).toEqual(one);
  });

  test("changes with the output that it is linked to", () => {
    const linked = (slot: number): Graph => ({
      1: { class_type: "ProtoSteps", inputs: {} },
      2: { class_type: "ProtoOut", inputs: { value: ["1", slot] } },
    });
    expect(keysOf(linked(0)).get("2")).not.toBe(keysOf(linked(1)).get("2"));
  });

  test("holds the id of a class that asks for it", () => {
    const text = { class_type: "ProtoText", inputs: { value: 1, text: "x", to: "broadcast" } };
    const keys = keysOf({ 1: text, 2: text });
    expect(keys.get("1")).not.toBe(keys.get("2"));
  });

  test("changes when the file that a node loads has changed", () => {
    const graph: Graph = { 1: { class_type: "LoadImage", inputs: { image: "cat.png" } } };
    files.put("input", "", "cat.png", fromBytes(Uint8Array.of(1), "image/png", 1));
    const before = keysOf(graph).get("1");
    files.put("input", "", "cat.png", fromBytes(Uint8Array.of(2), "image/png", 2));
    expect(keysOf(graph).get("1")).not.toBe(before);
  });

  test("is made also where a link leads nowhere", () => {
    expect(keysOf({ 2: preview("gone") }).get("2")).toMatch(/PreviewAny/);
  });

  test("cannot be made for a node without inputs, at which ComfyUI's worker thread dies", () => {
    const bare = { class_type: "PrimitiveInt" } as unknown as Graph[string];
    expect(() => keysOf({ 1: value(1), 2: preview("1"), 3: bare })).toThrow(FatalGraph);
  });
});

describe("the cache", () => {
  test("keeps results of the newest prompt only", () => {
    const cache = createCache();
    const begin = (number: number): string => cache.begin({ 1: value(number) }, catalogue, files).get("1")!;
    const key = begin(1);
    cache.set(key, { values: [1] });
    expect(begin(1)).toBe(key);
    expect(cache.get(key)).toEqual({ values: [1] });
    begin(2);
    begin(1);
    expect(cache.get(key)).toBeUndefined();
  });

  test("is empty when memory was freed", () => {
    const cache = createCache();
    const key = cache.begin({ 1: value(1) }, catalogue, files).get("1")!;
    cache.set(key, { values: [1] });
    cache.clear();
    expect(cache.get(key)).toBeUndefined();
  });
});
