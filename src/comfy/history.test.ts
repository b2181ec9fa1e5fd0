import { describe, expect, test } from "vitest";
import { readHistory } from "./history.ts";

const promptId = "9eb9b065-0000-4000-8000-000000000001";
const outputs = { "9": { images: [{ filename: "a.png", subfolder: "", type: "output" }] } };

const read = (entry: unknown): ReturnType<typeof readHistory> =>
  readHistory(JSON.stringify({ [promptId]: entry }), promptId);

const start = ["execution_start", { prompt_id: promptId, timestamp: 1 }];
const cached = ["execution_cached", { nodes: ["1", 2], prompt_id: promptId, timestamp: 2 }];
const success = ["execution_success", { prompt_id: promptId, timestamp: 3 }];
const interrupted = ["execution_interrupted", { prompt_id: promptId, node_id: "3", executed: [] }];
const error = [
  "execution_error",
  {
    prompt_id: promptId,
    node_id: "3",
    node_type: "KSampler",
    executed: ["1"],
    exception_message: "boom",
    exception_type: "RuntimeError",
    traceback: ["File …"],
  },
];

describe("the history of a prompt", () => {
  test("tells a success with its outputs and what was cached", () => {
    const messages = [start, cached, success];
    expect(read({ outputs, status: { status_str: "success", completed: true, messages } })).toEqual({
      promptId,
      outputs,
      ending: "success",
      cachedNodeIds: ["1", "2"],
    });
  });

  test("tells an error with its exception, and the outputs from before", () => {
    const messages = [start, error];
    expect(read({ outputs, status: { status_str: "error", completed: false, messages } })).toEqual({
      promptId,
      outputs,
      ending: "error",
      failure: {
        nodeId: "3",
        nodeType: "KSampler",
        exceptionType: "RuntimeError",
        exceptionMessage: "boom",
        traceback: ["File …"],
        executed: ["1"],
      },
      cachedNodeIds: [],
    });
  });

  test.each<[string, unknown, string]>([
    [
      "an interrupt, which ComfyUI calls an error",
      { status_str: "error", messages: [start, interrupted] },
      "interrupted",
    ],
    ["an error that says no more", { status_str: "error", completed: false, messages: [] }, "error"],
    ["an error without messages", { status_str: "error" }, "error"],
    [
      "a success, though a blocker's error was sent",
      { status_str: "success", messages: [error, success] },
      "success",
    ],
    ["no status, as of old servers", undefined, "success"],
    ["a status of null", null, "success"],
    ["messages only, of an error", { messages: [error] }, "error"],
    ["messages only, of an interrupt", { messages: [interrupted] }, "interrupted"],
    [
      "messages that are none",
      { status_str: "success", messages: [null, 1, [], "x", ["execution_cached"]] },
      "success",
    ],
  ])("tells from %s: %s is %s", (_, status, ending) => {
    expect(read({ outputs, status })).toMatchObject({ ending, outputs });
  });

  test("tells no failure with a success or an interrupt", () => {
    expect(read({ status: { status_str: "success", messages: [error] } })).not.toHaveProperty("failure");
    expect(read({ status: { status_str: "error", messages: [error, interrupted] } })).not.toHaveProperty(
      "failure",
    );
  });

  test("tells the last of two runs under one id", () => {
    const messages = [["execution_cached", { nodes: ["1"] }], start, ["execution_cached", { nodes: ["7"] }]];
    expect(read({ status: { status_str: "success", messages } })).toMatchObject({ cachedNodeIds: ["7"] });
  });

  test("leaves out outputs that are no objects", () => {
    expect(read({ outputs: { "1": null, "2": [1], "3": {} } })).toMatchObject({ outputs: { "3": {} } });
    expect(Object.keys((read({ outputs: { "1": null } }) as { outputs: object }).outputs)).toEqual([]);
    expect(read({ outputs: null })).toMatchObject({ outputs: {} });
  });

  test("reads numbers that only Python can write", () => {
    const text = `{"${promptId}":{"outputs":{"1":{"loss":[NaN,1]}},"status":{"status_str":"success"}}}`;
    expect(readHistory(text, promptId)).toMatchObject({ outputs: { "1": { loss: [null, 1] } } });
  });

  test("that is empty means that the server does not know the prompt", () => {
    expect(readHistory("{}", promptId)).toBe("unknown");
  });

  test.each([
    ["nothing", ""],
    ["a proxy's page", "<html>502</html>"],
    ["a list", "[]"],
    ["null", "null"],
    ["an error", '{"error":"x"}'],
    ["another prompt's entry", '{"other":{"outputs":{}}}'],
    ["an entry that is none", `{"${promptId}":null}`],
    ["an entry that is a list", `{"${promptId}":[]}`],
  ])("that cannot be read (%s) says nothing about the prompt", (_, text) => {
    expect(readHistory(text, promptId)).toBeUndefined();
  });

  test.each(["constructor", "__proto__", "toString"])(
    "of a prompt called %s is not what every object has",
    (id) => {
      expect(readHistory("{}", id)).toBe("unknown");
      expect(readHistory(`{"${id}":{"outputs":{"1":{}}}}`, id)).toMatchObject({
        promptId: id,
        outputs: { "1": {} },
      });
    },
  );
});
