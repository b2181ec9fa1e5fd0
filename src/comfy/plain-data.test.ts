import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkPlainData } from "./plain-data.ts";

const node = (inputs: object = {}) => ({ class_type: "Any", inputs });

describe("a value that JSON cannot say", () => {
  const cyclic: { self?: unknown; list?: unknown[] } = {};
  cyclic.self = cyclic;

  test.each<[string, unknown, string, RegExp]>([
    ["NaN", { cfg: Number.NaN }, "1.inputs.cfg", /is NaN/],
    ["Infinity", { cfg: Number.POSITIVE_INFINITY }, "1.inputs.cfg", /is Infinity/],
    ["minus Infinity", { cfg: [1, -Infinity, 2] }, "1.inputs.cfg.1", /is -Infinity/],
    ["NaN as a slot", { model: ["1", Number.NaN] }, "1.inputs.model.1", /is NaN/],
    ["a bigint", { seed: 1n }, "1.inputs.seed", /is a BigInt/],
    ["a function", { seed: () => 1 }, "1.inputs.seed", /is a Function/],
    ["a symbol", { seed: Symbol("x") }, "1.inputs.seed", /is a Symbol/],
    ["undefined in a list", { sizes: [1, undefined] }, "1.inputs.sizes.1", /is undefined/],
    ["a hole in a list", { sizes: Object.assign(new Array(3), [1]) }, "1.inputs.sizes.1", /is undefined/],
    ["a Date", { when: new Date(0) }, "1.inputs.when", /is a Date/],
    ["a Map", { map: new Map() }, "1.inputs.map", /is a Map/],
    ["a Set, however deep", { a: { b: [new Set()] } }, "1.inputs.a.b.0", /is a Set/],
    ["bytes", { image: new Uint8Array(4) }, "1.inputs.image", /is a Uint8Array/],
    ["a number in a box", { seed: Object(1) }, "1.inputs.seed", /is a Number/],
    ["a promise", { seed: Promise.resolve(1) }, "1.inputs.seed", /is a Promise/],
    ["an object in itself", { cyclic }, "1.inputs.cyclic.self", /contains itself/],
  ])("is found: %s", (_, inputs, path, message) => {
    expect(checkPlainData({ "1": node(inputs as object) }, "")).toEqual({
      code: "workflow-invalid",
      path,
      message: expect.stringMatching(message),
    });
  });

  test("is found in the title of a node, too", () => {
    expect(checkPlainData({ "1": { ...node(), _meta: { title: () => "x" } } }, "")).toMatchObject({
      path: "1._meta.title",
    });
  });

  test("is found where the workflow contains itself", () => {
    const workflow: Record<string, unknown> = { "1": node() };
    (workflow["1"] as { inputs: object }).inputs = { all: workflow };
    expect(checkPlainData(workflow, "")).toMatchObject({
      path: "1.inputs.all",
      message: expect.stringMatching(/contains itself/),
    });
  });

  test("is none in what JSON has said itself", () => {
    const value = fc.jsonValue().map((one): unknown => JSON.parse(JSON.stringify(one)));
    fc.assert(
      fc.property(value, (one) => {
        expect(checkPlainData(one, "")).toBeUndefined();
      }),
    );
  });

  test("is not what is undefined in an object, for JSON leaves it out", () => {
    expect(checkPlainData({ "1": node({ seed: undefined }) }, "")).toBeUndefined();
  });

  test("is not one value in many places", () => {
    const shared = { size: [1, 2, 3] };
    expect(checkPlainData({ "1": node({ a: shared, b: shared }) }, "")).toBeUndefined();
  });
});

describe("a deep value", () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < levels; level += 1) value = [value];
    return value;
  };

  test("is refused before it is too deep for Python", () => {
    expect(checkPlainData(nested(200), "x")).toBeUndefined();
    expect(checkPlainData(nested(201), "x")).toMatchObject({
      code: "workflow-invalid",
      message: expect.stringContaining("200 levels"),
    });
  });

  test("is refused without running out of stack, and in a path that can be read", () => {
    const problem = checkPlainData(nested(100_000), "x");
    expect(problem?.path.length).toBeLessThanOrEqual(100);
  });
});
