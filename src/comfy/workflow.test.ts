import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkWorkflow } from "./workflow.ts";

const node = (inputs: object = {}, class_type = "Any") => ({ class_type, inputs });

describe("a workflow", () => {
  test.each<[string, unknown]>([
    ["one node", { "1": node() }],
    ["a link", { "1": node(), "2": node({ image: ["1", 0] }) }],
    ["a link before what it leads to", { "2": node({ image: ["1", 0] }), "1": node() }],
    [
      "a diamond",
      {
        a: node(),
        b: node({ x: ["a", 0] }),
        c: node({ x: ["a", 1] }),
        d: node({ x: ["b", 0], y: ["c", 0] }),
      },
    ],
    ["a title", { "1": { ...node(), _meta: { title: "Load" } } }],
    ["a wrapped list that looks like a link", { "1": node({ pair: { __value__: ["9", 0] } }) }],
    ["a list that is too long for a link", { "1": node({ triple: ["9", 0, 1] }) }],
    ["a list whose second part is no number", { "1": node({ pair: ["9", "0"] }) }],
    ["a list whose first part is no string", { "1": node({ size: [512, 768] }) }],
    ["a nested list, which ComfyUI takes for no link", { "1": node({ pairs: [["9", 0]] }) }],
    ["null and booleans and texts", { "1": node({ a: null, b: true, c: "", d: 0.5 }) }],
    ["a node that is called prompt", { prompt: node() }],
    ["a node that is called nodes", { nodes: node(), links: node() }],
    ["the same object twice", { "1": node({ a: [1], b: [1] }), "2": node(Object.freeze({})) }],
    ["an object without a prototype", Object.assign(Object.create(null), { "1": node() })],
  ])("may have %s", (_, workflow) => {
    expect(checkWorkflow(workflow)).toBeUndefined();
  });

  test("may use one value in many places", () => {
    const shared = { size: [1, 2, 3] };
    expect(checkWorkflow({ "1": node({ a: shared, b: shared }) })).toBeUndefined();
  });

  test.each<[string, unknown, string, RegExp]>([
    ["text", '{"1":{}}', "", /parse the file/],
    ["undefined", undefined, "", /object of nodes/],
    ["null", null, "", /object of nodes/],
    ["a list", [node()], "", /object of nodes/],
    ["nothing in it", {}, "", /no nodes/],
    ["a Map", new Map([["1", node()]]), "", /no nodes/],
    ["the editor's format", { last_node_id: 1, nodes: [{ id: 1 }], links: [] }, "nodes", /Export \(API\)/],
    ["the editor's format, with nothing drawn", { nodes: [], links: [] }, "nodes", /Export \(API\)/],
    ["the body of a request", { prompt: { "1": node() }, client_id: "a" }, "prompt", /pass its `prompt`/],
    ["the body of an empty request", { prompt: {} }, "prompt", /pass its `prompt`/],
    ["a node that is text", { "1": "x" }, "1", /Node 1 is not an object/],
    ["a node that is null", { "1": node(), "2": null }, "2", /Node 2 is not an object/],
    ["a node that is a list", { "1": [] }, "1", /not an object/],
    ["a node without a class", { "1": { inputs: {} } }, "1.class_type", /no class_type/],
    ["a node of an empty class", { "1": node({}, "") }, "1.class_type", /no class_type/],
    ["a node without inputs", { "1": { class_type: "Any" } }, "1.inputs", /give it at least \{\}/],
    ["a node whose inputs are a list", { "1": { class_type: "Any", inputs: [] } }, "1.inputs", /no inputs/],
  ])("is not %s", (_, workflow, path, message) => {
    expect(checkWorkflow(workflow)).toEqual({
      code: "workflow-format",
      path,
      message: expect.stringMatching(message),
    });
  });
});

describe("a link to a node that is not there", () => {
  test.each<[string, unknown]>([
    ["by a number", ["9", 0]],
    ["by a broken number", ["9", 0.5]],
    ["by a boolean, which is a number in Python", ["9", true]],
    ["by false", ["9", false]],
    ["to no name", ["", 0]],
    ["to a name that every object has", ["constructor", 0]],
    ["to an object's prototype", ["__proto__", 0]],
    ["to a method of objects", ["toString", 1]],
  ])("is found %s", (_, link) => {
    expect(checkWorkflow({ "1": node(), "3": node({ model: link }) })).toMatchObject({
      code: "workflow-invalid",
      path: "3.inputs.model",
      message: expect.stringContaining("__value__"),
    });
  });

  test("is found under an input that no class declares: that one kills the server's worker thread", () => {
    expect(checkWorkflow({ "3": node({ undeclared: ["4", 0] }, "PreviewImage") })).toMatchObject({
      path: "3.inputs.undeclared",
    });
  });

  test("is found in every workflow that lost a node which others need", () => {
    const chain = fc
      .integer({ min: 2, max: 20 })
      .chain((length) => fc.tuple(fc.constant(length), fc.nat(length - 2)));
    fc.assert(
      fc.property(chain, ([length, lost]) => {
        const entries = Array.from({ length }, (_, at) => [
          `n${at}`,
          node(at ? { x: [`n${at - 1}`, 0] } : {}),
        ]);
        expect(checkWorkflow(Object.fromEntries(entries))).toBeUndefined();
        const broken = Object.fromEntries(entries.filter((_, at) => at !== lost));
        expect(checkWorkflow(broken)).toMatchObject({ path: `n${lost + 1}.inputs.x` });
      }),
    );
  });
});

describe("a node that is called as something of every object", () => {
  test.each(["constructor", "toString", "hasOwnProperty", "__proto__"])("may be %s", (id) => {
    const workflow: unknown = JSON.parse(
      `{"${id}":{"class_type":"Any","inputs":{}},"2":{"class_type":"Any","inputs":{"x":["${id}",0]}}}`,
    );
    expect(checkWorkflow(workflow)).toBeUndefined();
  });

  test("waits for itself as any other would", () => {
    const workflow: unknown = JSON.parse('{"__proto__":{"class_type":"Any","inputs":{"x":["__proto__",0]}}}');
    expect(checkWorkflow(workflow)).toMatchObject({
      message: expect.stringContaining("__proto__ → __proto__"),
    });
  });
});

describe("a deep workflow", () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 1;
    for (let level = 0; level < levels; level += 1) value = [value];
    return value;
  };

  test("is refused before it is too deep for Python", () => {
    expect(checkWorkflow({ "1": node({ x: nested(197) }) })).toBeUndefined();
    expect(checkWorkflow({ "1": node({ x: nested(198) }) })).toMatchObject({
      code: "workflow-invalid",
      path: "1",
      message: expect.stringContaining("200 levels"),
    });
  });

  test("is refused without running out of stack", () => {
    expect(checkWorkflow({ "1": node({ x: nested(100_000) }) })).toMatchObject({ path: "1" });
  });

  test("may have any value that JSON can say", () => {
    const value = fc.jsonValue().map((one): unknown => JSON.parse(JSON.stringify(one)));
    fc.assert(
      fc.property(value, (one) => {
        expect(checkWorkflow({ "1": node({ value: { __value__: one } }) })).toBeUndefined();
      }),
    );
  });
});

describe("nodes that wait for each other", () => {
  test.each<[string, object, string]>([
    ["one for itself", { "1": node({ x: ["1", 0] }) }, "1 → 1"],
    ["two", { a: node({ x: ["b", 0] }), b: node({ x: ["a", 0] }) }, "a → b → a"],
    [
      "three behind one that only leads to them",
      {
        "0": node({ x: ["a", 0] }),
        a: node({ x: ["b", 0] }),
        b: node({ x: ["c", 0] }),
        c: node({ x: ["a", 0] }),
      },
      "a → b → c → a",
    ],
    ["two, by a boolean slot", { a: node({ x: ["b", true] }), b: node({ x: ["a", false] }) }, "a → b → a"],
  ])("are found: %s", (_, workflow, loop) => {
    expect(checkWorkflow(workflow)).toMatchObject({
      code: "workflow-invalid",
      message: expect.stringContaining(`: ${loop}: `),
    });
  });

  test("are told with the input to change", () => {
    expect(checkWorkflow({ a: node({ x: ["b", 0] }), b: node({ back: ["a", 0] }) })).toMatchObject({
      path: "b.inputs.back",
    });
  });

  test("are found wherever one link of a chain leads back, and only there", () => {
    const back = fc.integer({ min: 1, max: 30 }).chain((length) => fc.tuple(fc.nat(length), fc.nat(length)));
    fc.assert(
      fc.property(back, ([one, other]) => {
        const [from, to] = [Math.min(one, other), Math.max(one, other)];
        const workflow = Object.fromEntries(
          Array.from({ length: to + 1 }, (_, at) => [`n${at}`, node(at ? { x: [`n${at - 1}`, 0] } : {})]),
        );
        const looped = {
          ...workflow,
          [`n${from}`]: node({ back: [`n${to}`, 0], ...workflow[`n${from}`]?.inputs }),
        };
        expect(checkWorkflow(workflow)).toBeUndefined();
        expect(checkWorkflow(looped)?.message).toContain("wait for each other");
      }),
    );
  });

  test("are looked for without recursion: a chain may have thousands of nodes", () => {
    const length = 20_000;
    const chain = Array.from({ length }, (_, at) => [
      `n${at}`,
      node(at + 1 < length ? { x: [`n${at + 1}`, 0] } : {}),
    ]);
    expect(checkWorkflow(Object.fromEntries(chain))).toBeUndefined();
    chain[length - 1] = [`n${length - 1}`, node({ x: ["n0", 0] })];
    const problem = checkWorkflow(Object.fromEntries(chain));
    expect(problem).toMatchObject({
      path: `n${length - 1}.inputs.x`,
      message: expect.stringContaining(": n0 → n1 → n2 → n3 → … → n19998 → n19999 → n0: "),
    });
  });

  test("are looked for once a node, however many ways lead there", () => {
    const layers = 40;
    const ladder = Array.from({ length: layers }, (_, at) =>
      ["a", "b"].map((side) => [
        `${side}${at}`,
        node(at ? { x: [`a${at - 1}`, 0], y: [`b${at - 1}`, 0] } : {}),
      ]),
    ).flat();
    // 2^40 ways: only a visit for each way would not end.
    expect(checkWorkflow(Object.fromEntries(ladder.reverse()))).toBeUndefined();
  });
});
