import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { asId, asIds, asNumber, asObjects, isObject, parseJson } from "./json.ts";

/** All that a string can hold, lone surrogates among it. */
const anyText = fc.oneof(
  fc.string(),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
);

describe("JSON as Python writes it", () => {
  test.each([
    ['{"loss":NaN}', { loss: null }],
    ["[Infinity,-Infinity,-1]", [null, null, -1]],
    ['{"NaN":NaN}', { NaN: null }],
    ['{"a":"NaN","b":NaN}', { a: "NaN", b: null }],
    ['{"a":"say \\"NaN\\"","b":NaN}', { a: 'say "NaN"', b: null }],
    ['{"a":"C:\\\\","b":-Infinity,"c":"-Infinity"}', { a: "C:\\", b: null, c: "-Infinity" }],
  ])("%s is read", (text, value) => {
    expect(parseJson(text)).toEqual(value);
  });

  test.each(["", "{", "NaN{", '{"a":NaN', "undefined", "<html>Infinity</html>", "[NaN] [NaN]", '"NaN'])(
    "%s is no JSON, and no exception either",
    (text) => {
      expect(parseJson(text)).toBeUndefined();
    },
  );

  test("is read as JSON.parse reads it, whatever it holds", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parseJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  test("keeps every string, whatever stands beside it", () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom("NaN", "Infinity", "-Infinity"), (a, word) => {
        const text = `{${JSON.stringify(`a${a}`)}:${word},"b":[${JSON.stringify(a + word)}]}`;
        expect(parseJson(text)).toEqual({ [`a${a}`]: null, b: [a + word] });
      }),
    );
  });

  test("that is broken takes no longer than its length: a worker that blocks stops ComfyUI for everybody", () => {
    const began = performance.now();
    expect(parseJson(`NaN "${'\\"'.repeat(100_000)}`)).toBeUndefined();
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

describe("a reader of a field", () => {
  test.each([
    ["3", "3"],
    [3, "3"],
    [null, undefined],
    [["3"], undefined],
    [true, undefined],
  ])("takes %j for the node id %j", (value, id) => {
    expect(asId(value)).toBe(id);
  });

  test("leaves out of a list what is no id", () => {
    expect(asIds(["1", 2, null, {}, "4.0.0.2"])).toEqual(["1", "2", "4.0.0.2"]);
    expect(asIds("12")).toEqual([]);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, "1", null])("takes %s for no number", (value) => {
    expect(asNumber(value)).toBeUndefined();
  });

  test("takes neither a list nor null for an object", () => {
    expect([{}, [], null, "x"].map(isObject)).toEqual([true, false, false, false]);
  });

  test("keeps entries under names that every object has", () => {
    const read = asObjects(parseJson('{"__proto__":{"a":1},"constructor":{"b":2},"3":null}'));
    expect(Object.keys(read)).toEqual(["__proto__", "constructor"]);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
  });
});
