import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { deleteBody, interruptBody } from "./bodies.ts";
import { promptBody, readPromptAnswer } from "./prompt.ts";

/** All that a string can hold, lone surrogates among it. */
const anyText = fc.oneof(
  fc.string(),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
);

const promptId = "9eb9b065-0000-4000-8000-000000000001";
const options = { clientId: "client", promptId };
const workflow = '{"1":{"class_type":"Any","inputs":{"text":"\\"}{"}}}';

describe("the body of a prompt", () => {
  test("holds the workflow as it was, and for whom it runs", () => {
    expect(JSON.parse(promptBody(workflow, options))).toEqual({
      prompt: JSON.parse(workflow),
      client_id: "client",
      prompt_id: promptId,
    });
  });

  test.each<[string, object, object]>([
    ["front", { front: true }, { front: true }],
    ["not front", { front: false }, {}],
    ["a number", { number: -2.5 }, { number: -2.5 }],
    ["the number zero", { number: 0 }, { number: 0 }],
    ["extra data", { extraData: { a: [1] } }, { extra_data: { a: [1] } }],
    ["empty extra data", { extraData: {} }, { extra_data: {} }],
  ])("says %s only when told to", (_, more, fields) => {
    expect(JSON.parse(promptBody("{}", { ...options, ...more }))).toEqual({
      prompt: {},
      client_id: "client",
      prompt_id: promptId,
      ...fields,
    });
  });

  test("is JSON, whatever is in it", () => {
    fc.assert(
      fc.property(
        fc.json(),
        anyText,
        anyText,
        fc.dictionary(anyText, fc.jsonValue()),
        (json, clientId, id, extraData) => {
          const body = JSON.parse(promptBody(json, { clientId, promptId: id, extraData }));
          expect(body).toEqual({
            prompt: JSON.parse(json),
            client_id: clientId,
            prompt_id: id,
            extra_data: JSON.parse(JSON.stringify(extraData)),
          });
        },
      ),
    );
  });
});

describe("the answer to a prompt", () => {
  test("accepts it", () => {
    expect(
      readPromptAnswer(200, JSON.stringify({ prompt_id: promptId, number: 23, node_errors: {} })),
    ).toEqual({
      outcome: "accepted",
      promptId,
      number: 23,
      nodeErrors: {},
    });
  });

  test("may accept it, and tell which outputs will not run", () => {
    const node_errors = {
      "9": {
        errors: [
          {
            type: "required_input_missing",
            message: "missing",
            details: "images",
            extra_info: { input_name: "images" },
          },
        ],
        dependent_outputs: ["9", 10],
        class_type: "SaveImage",
      },
    };
    expect(
      readPromptAnswer(200, JSON.stringify({ prompt_id: promptId, number: 1, node_errors })),
    ).toMatchObject({
      outcome: "accepted",
      nodeErrors: {
        "9": {
          classType: "SaveImage",
          errors: [
            {
              type: "required_input_missing",
              message: "missing",
              details: "images",
              extraInfo: { input_name: "images" },
            },
          ],
          dependentOutputs: ["9", "10"],
        },
      },
    });
  });

  test("of an old server may say no number, and a list where there are no errors", () => {
    expect(readPromptAnswer(200, JSON.stringify({ prompt_id: promptId, node_errors: [] }))).toEqual({
      outcome: "accepted",
      promptId,
      number: undefined,
      nodeErrors: {},
    });
  });

  test("may name another id than ours: servers before 0.3.45 choose it", () => {
    expect(readPromptAnswer(200, '{"prompt_id":"theirs"}')).toMatchObject({ promptId: "theirs" });
  });

  test.each<[string, unknown, object]>([
    [
      "in ComfyUI's words",
      { type: "no_prompt", message: "No prompt provided", details: "none", extra_info: {} },
      { type: "no_prompt", message: "No prompt provided", details: "none", extraInfo: {} },
    ],
    ["in a bare sentence", "no GPU left", { type: "error", message: "no GPU left", details: "" }],
    ["in no words", {}, { type: "", message: "", details: "" }],
    [
      "in words that are none",
      { type: 1, message: null, details: [] },
      { type: "", message: "", details: "" },
    ],
  ])("refuses it %s", (_, error, refusal) => {
    expect(readPromptAnswer(400, JSON.stringify({ error, node_errors: {} }))).toEqual({
      outcome: "rejected",
      error: refusal,
      nodeErrors: {},
    });
  });

  test("refuses it and tells of each node, whatever the node is called", () => {
    const text =
      '{"error":{"type":"x"},"node_errors":{"__proto__":{"class_type":"A"},"3":{"errors":["bare"]},"4":null}}';
    const answer = readPromptAnswer(400, text);
    const nodeErrors = answer.outcome === "rejected" ? answer.nodeErrors : {};
    expect(Object.keys(nodeErrors)).toEqual(["3", "4", "__proto__"]);
    expect(nodeErrors["3"]).toEqual({
      classType: "",
      errors: [{ type: "error", message: "bare", details: "" }],
      dependentOutputs: [],
    });
    expect(nodeErrors["4"]).toEqual({ classType: "", errors: [], dependentOutputs: [] });
  });

  test.each<[string, number, string]>([
    ["an exception in the server", 500, "500 Internal Server Error"],
    ["an exception that looks like a refusal", 500, '{"error":{"type":"x"}}'],
    ["an exception that looks like an answer", 500, JSON.stringify({ prompt_id: promptId })],
    ["no id", 200, '{"number":1}'],
    ["an id that is no string", 200, '{"prompt_id":7}'],
    ["a page", 200, "<html>"],
    ["nothing", 200, ""],
    ["a bare string", 400, '"no"'],
    ["an error that is a number", 400, '{"error":7}'],
    ["a refusal without an error", 400, '{"node_errors":{}}'],
    ["a proxy's limit", 413, '{"error":"too large"}'],
    ["a login", 401, '{"error":"who are you"}'],
  ])("decides nothing where it cannot be read: %s", (_, status, text) => {
    expect(readPromptAnswer(status, text)).toEqual({
      outcome: "unreadable",
      reason: expect.stringContaining(`HTTP ${status}`),
    });
  });
});

describe("what stops prompts", () => {
  test("names every one of them: without an id, an interrupt hits whatever runs", () => {
    expect(interruptBody("p")).toBe('{"prompt_id":"p"}');
    expect(deleteBody(["p", 'q"'])).toBe('{"delete":["p","q\\""]}');
  });
});
