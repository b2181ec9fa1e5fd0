import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeMessage } from "./decode.ts";
import type { ServerMessage } from "./messages.ts";

/** All that a string can hold, lone surrogates among it. */
const anyText = fc.oneof(
  fc.string(),
  fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units)),
);

const promptId = "9eb9b065-0000-4000-8000-000000000001";

const said = (type: string, data?: unknown): ServerMessage => decodeMessage(JSON.stringify({ type, data }));

/** Big-endian u32 numbers, texts as UTF-8, and bytes, one after the other. */
function frame(...parts: readonly (number | string | readonly number[])[]): ArrayBuffer {
  const bytes = parts.flatMap((part) => {
    if (typeof part === "string") return [...new TextEncoder().encode(part)];
    if (typeof part !== "number") return part;
    return [part >>> 24, (part >>> 16) & 255, (part >>> 8) & 255, part & 255];
  });
  return new Uint8Array(bytes).buffer;
}

const jpeg = [0xff, 0xd8, 0xff, 0xe0];
const preview = (header: string | object, image: readonly number[] = jpeg): ServerMessage => {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  return decodeMessage(frame(4, new TextEncoder().encode(text).length, text, image));
};

describe("a text frame", () => {
  test.each<[string, string, unknown, ServerMessage]>([
    [
      "the first status names the socket",
      "status",
      { status: { exec_info: { queue_remaining: 2 } }, sid: "a" },
      { type: "status", queueRemaining: 2, sid: "a" },
    ],
    [
      "later ones do not",
      "status",
      { status: { exec_info: { queue_remaining: 0 } } },
      { type: "status", queueRemaining: 0 },
    ],
    ["a status may say nothing", "status", undefined, { type: "status", queueRemaining: undefined }],
    [
      "a status whose number is none says nothing",
      "status",
      { status: { exec_info: { queue_remaining: "2" } } },
      { type: "status", queueRemaining: undefined },
    ],
    [
      "feature_flags are kept whole",
      "feature_flags",
      { supports_preview_metadata: true, extension: { manager: {} } },
      { type: "feature_flags", flags: { supports_preview_metadata: true, extension: { manager: {} } } },
    ],
    [
      "execution_start is dated",
      "execution_start",
      { prompt_id: promptId, timestamp: 5 },
      { type: "execution_start", promptId, timestamp: 5 },
    ],
    [
      "execution_start of an old server is not",
      "execution_start",
      { prompt_id: promptId },
      { type: "execution_start", promptId },
    ],
    [
      "execution_cached lists nodes",
      "execution_cached",
      { nodes: ["1", 2], prompt_id: promptId, timestamp: 5 },
      { type: "execution_cached", promptId, nodeIds: ["1", "2"], timestamp: 5 },
    ],
    [
      "executing begins a node",
      "executing",
      { node: "4.0.0.2", display_node: "4", prompt_id: promptId },
      { type: "executing", promptId, nodeId: "4.0.0.2", displayNodeId: "4" },
    ],
    [
      "executing with null ends the prompt",
      "executing",
      { node: null, prompt_id: promptId },
      { type: "executing", promptId, nodeId: null },
    ],
    [
      "executing without a prompt is the replay on connecting",
      "executing",
      { node: "3" },
      { type: "executing", promptId: undefined, nodeId: "3" },
    ],
    [
      "progress has numbers, also broken ones",
      "progress",
      { value: 1.5, max: 20, prompt_id: promptId, node: "3" },
      { type: "progress", promptId, nodeId: "3", value: 1.5, max: 20 },
    ],
    [
      "progress of an old server names nothing",
      "progress",
      { value: 1, max: 20 },
      { type: "progress", promptId: undefined, nodeId: undefined, value: 1, max: 20 },
    ],
    [
      "progress_state names every node that has started",
      "progress_state",
      {
        prompt_id: promptId,
        nodes: {
          "4.0.2": {
            value: 3,
            max: 5,
            state: "running",
            node_id: "4.0.2",
            prompt_id: promptId,
            display_node_id: "4",
            parent_node_id: "4",
            real_node_id: "4",
          },
        },
      },
      {
        type: "progress_state",
        promptId,
        nodes: [
          {
            nodeId: "4.0.2",
            displayNodeId: "4",
            value: 3,
            max: 5,
            state: "running",
            parentNodeId: "4",
            realNodeId: "4",
          },
        ],
      },
    ],
    [
      "progress_state does without what a node does not say",
      "progress_state",
      { prompt_id: promptId, nodes: { "3": { parent_node_id: null }, "5": null } },
      {
        type: "progress_state",
        promptId,
        nodes: [
          { nodeId: "3", displayNodeId: "3", value: 0, max: 1, state: "" },
          { nodeId: "5", displayNodeId: "5", value: 0, max: 1, state: "" },
        ],
      },
    ],
    [
      "executed brings an output",
      "executed",
      { node: "4.1", display_node: "4", output: { images: [] }, prompt_id: promptId },
      { type: "executed", promptId, nodeId: "4.1", displayNodeId: "4", output: { images: [] } },
    ],
    [
      "executed of a cached node may bring none",
      "executed",
      { node: 9, output: null, prompt_id: promptId },
      { type: "executed", promptId, nodeId: "9", displayNodeId: "9", output: null },
    ],
    [
      "executed with an output that is no object brings none",
      "executed",
      { node: "9", display_node: "9", output: ["x"], prompt_id: promptId },
      { type: "executed", promptId, nodeId: "9", displayNodeId: "9", output: null },
    ],
    [
      "execution_success is dated",
      "execution_success",
      { prompt_id: promptId, timestamp: 9 },
      { type: "execution_success", promptId, timestamp: 9 },
    ],
    [
      "execution_interrupted says where",
      "execution_interrupted",
      { prompt_id: promptId, node_id: "3", node_type: "KSampler", executed: ["1"], timestamp: 9 },
      {
        type: "execution_interrupted",
        promptId,
        nodeId: "3",
        nodeType: "KSampler",
        executed: ["1"],
        timestamp: 9,
      },
    ],
    [
      "execution_interrupted may not know where",
      "execution_interrupted",
      { prompt_id: promptId },
      { type: "execution_interrupted", promptId, executed: [] },
    ],
  ])("%s", (_, type, data, message) => {
    expect(said(type, data)).toEqual(message);
  });

  describe("that says execution_error", () => {
    const error = {
      prompt_id: promptId,
      node_id: "3",
      node_type: "ProtoError",
      executed: ["1", "2"],
      exception_message: "boom\n",
      exception_type: "RuntimeError",
      traceback: ["File …"],
      current_inputs: { value: [3] },
      current_outputs: ["1"],
      timestamp: 9,
    };

    test("keeps the exception, and what the node was given", () => {
      expect(said("execution_error", error)).toEqual({
        type: "execution_error",
        promptId,
        blocked: false,
        failure: {
          nodeId: "3",
          nodeType: "ProtoError",
          exceptionType: "RuntimeError",
          exceptionMessage: "boom\n",
          traceback: ["File …"],
          executed: ["1", "2"],
        },
        currentInputs: { value: [3] },
        currentOutputs: ["1"],
        timestamp: 9,
      });
    });

    test.each([
      ["ExecutionBlocked", undefined, true],
      ["ExecutionBlocked", 9, false],
      ["RuntimeError", undefined, false],
      ["RuntimeError", 9, false],
    ])("with %s, dated %s, is a blocker's: %s", (exception_type, timestamp, blocked) => {
      expect(said("execution_error", { ...error, exception_type, timestamp })).toMatchObject({ blocked });
    });

    test("says what it knows, though everything but the prompt is missing", () => {
      expect(said("execution_error", { prompt_id: promptId, traceback: [1, "x"] })).toMatchObject({
        failure: { nodeId: "", nodeType: "", exceptionType: "", traceback: ["x"], executed: [] },
      });
    });
  });

  test.each<[string, unknown]>([
    ["logs", { entries: [{ t: "2026-01-01", m: "x" }], size: null }],
    ["assets.seed.started", {}],
    ["my.node", { prompt_id: promptId, deep: [1, null] }],
    ["b_preview", "not an object"],
    ["toString", undefined],
    ["__proto__", null],
    // Names of ours that are not ComfyUI's: a custom node may not forge them.
    ["preview", { promptId }],
    ["text", { nodeId: "1", text: "x" }],
    ["malformed", { reason: "x" }],
    ["custom", 1],
    ["", 1],
  ])("of type %j is kept as it is, for those who know it", (name, data) => {
    expect(said(name, data)).toEqual({ type: "custom", name, data });
  });

  test.each([
    ["not JSON", "hello"],
    ["empty", ""],
    ["cut off", '{"type":"status"'],
    ["a list", '[{"type":"status"}]'],
    ["null", "null"],
    ["a number", "7"],
    ["without a type", '{"data":{}}'],
    ["with a type that is no string", '{"type":1}'],
    ["an end without a prompt", '{"type":"executing","data":{"node":null}}'],
    ["executing without a node", `{"type":"executing","data":{"prompt_id":"${promptId}"}}`],
    ["executing a node that is no id", '{"type":"executing","data":{"node":{}}}'],
    ["progress without numbers", '{"type":"progress","data":{"node":"3"}}'],
    ["progress with texts", '{"type":"progress","data":{"value":"1","max":"2"}}'],
    ["progress that is not a number", '{"type":"progress","data":{"value":NaN,"max":20}}'],
    ["executed without a node", `{"type":"executed","data":{"prompt_id":"${promptId}","output":{}}}`],
    ["a start without a prompt", '{"type":"execution_start","data":{}}'],
    ["a start without data", '{"type":"execution_start"}'],
    ["a prompt id that is no string", '{"type":"execution_success","data":{"prompt_id":7}}'],
    ["cached without a prompt", '{"type":"execution_cached","data":{"nodes":[]}}'],
    ["an error without a prompt", '{"type":"execution_error","data":{}}'],
    ["an interrupt without a prompt", '{"type":"execution_interrupted","data":null}'],
    ["states without a prompt", '{"type":"progress_state","data":{"nodes":{}}}'],
  ])("that is malformed (%s) is a value that says why", (_, text) => {
    expect(decodeMessage(text)).toEqual({ type: "malformed", reason: expect.stringMatching(/\w/) });
  });

  test("may carry numbers that only Python can write", () => {
    const text = `{"type":"executed","data":{"node":"1","prompt_id":"${promptId}","output":{"loss":[NaN]}}}`;
    expect(decodeMessage(text)).toMatchObject({ type: "executed", output: { loss: [null] } });
  });

  test("may name nodes after what every object has", () => {
    const text = `{"type":"progress_state","data":{"prompt_id":"${promptId}","nodes":{"__proto__":{"value":1},"constructor":{"value":2}}}}`;
    expect(decodeMessage(text)).toMatchObject({
      nodes: [
        { nodeId: "__proto__", value: 1 },
        { nodeId: "constructor", value: 2 },
      ],
    });
  });
});

describe("a binary frame", () => {
  test.each([
    [1, "image/jpeg"],
    [2, "image/png"],
    [7, "image/jpeg"],
  ])("of type 1 and format %i is a preview without ids, %s", (format, mime) => {
    expect(decodeMessage(frame(1, format, jpeg))).toEqual({
      type: "preview",
      promptId: undefined,
      nodeId: undefined,
      mime,
      image: new Uint8Array(jpeg),
    });
  });

  test("of type 1 shares its bytes with the frame: megabytes are not copied", () => {
    const buffer = frame(1, 1, jpeg);
    const message = decodeMessage(buffer);
    expect(message.type === "preview" && message.image.buffer).toBe(buffer);
  });

  test("of type 3 is a node's text, as the server wrote it", () => {
    expect(decodeMessage(frame(3, 1, "3", "grüße 🎨"))).toEqual({
      type: "text",
      nodeId: "3",
      text: "grüße 🎨",
    });
    expect(decodeMessage(frame(3, 0, ""))).toEqual({ type: "text", nodeId: "", text: "" });
    expect(decodeMessage(frame(3, 1, "3", "\ufeffx"))).toMatchObject({ text: "\ufeffx" });
  });

  test("of type 3 that is no UTF-8 is text all the same", () => {
    expect(decodeMessage(frame(3, 1, "3", [0xff, 0x61]))).toMatchObject({ text: "\ufffda" });
  });

  test("of type 4 is a preview with its header's ids", () => {
    const header = {
      node_id: "4.0.2",
      prompt_id: promptId,
      display_node_id: "4",
      parent_node_id: "4",
      real_node_id: "4",
      image_type: "image/png",
    };
    expect(preview(header)).toEqual({
      type: "preview",
      promptId,
      nodeId: "4.0.2",
      displayNodeId: "4",
      parentNodeId: "4",
      realNodeId: "4",
      mime: "image/png",
      image: new Uint8Array(jpeg),
    });
  });

  test("of type 4 leaves out what its header has not, and may have no image yet", () => {
    const header = { node_id: "1", prompt_id: promptId, parent_node_id: null, image_type: "text/html" };
    expect(preview(header, [])).toEqual({
      type: "preview",
      promptId,
      nodeId: "1",
      mime: "image/jpeg",
      image: new Uint8Array(),
    });
  });

  test.each<[string, ArrayBuffer]>([
    ["empty", frame()],
    ["seven bytes", frame(1, [0, 0, 1])],
    ["of type 0", frame(0, 1, jpeg)],
    ["of type 2, which never leaves the server", frame(2, 1, jpeg)],
    ["of a type to come", frame(5, 1, jpeg)],
    ["a text whose node is longer than the frame", frame(3, 2, "3")],
    ["a length that is nearly all there is", frame(4, 0xffffffff, "{}")],
    ["a header that is no JSON", frame(4, 3, "{a}", jpeg)],
    ["a header that is a list", frame(4, 2, "[]", jpeg)],
    ["a header without a prompt", frame(4, 2, "{}", jpeg)],
  ])("that is malformed (%s) is a value that says why", (_, buffer) => {
    expect(decodeMessage(buffer)).toEqual({ type: "malformed", reason: expect.stringMatching(/\w/) });
  });
});

describe("whatever comes", () => {
  const types = [
    ...["status", "feature_flags", "executing", "progress", "progress_state", "executed", "logs"],
    ...[
      "execution_start",
      "execution_success",
      "execution_cached",
      "execution_interrupted",
      "execution_error",
    ],
  ];

  test("no text makes the decoder throw", () => {
    fc.assert(
      fc.property(fc.oneof(anyText, fc.json()), (text) => {
        expect(decodeMessage(text).type).toEqual(expect.any(String));
      }),
    );
  });

  test("no data under a known name makes the decoder throw, and its fields are of their types", () => {
    const id = fc.oneof(fc.string(), fc.integer(), fc.jsonValue({ maxDepth: 2 }));
    const data = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          prompt_id: id,
          node: fc.oneof(id, fc.constant(null)),
          nodes: fc.oneof(fc.array(id), fc.dictionary(fc.string(), fc.jsonValue())),
          output: fc.jsonValue(),
          value: fc.oneof(fc.double(), fc.jsonValue()),
          max: fc.oneof(fc.double(), fc.jsonValue()),
          executed: fc.jsonValue(),
          traceback: fc.jsonValue(),
          timestamp: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(fc.constantFrom(...types), data, (type, value) => {
        const message = said(type, value);
        expect([type, "malformed", "custom"]).toContain(message.type);
        if ("promptId" in message) expect(["string", "undefined"]).toContain(typeof message.promptId);
        if ("nodeId" in message && message.nodeId !== null)
          expect(["string", "undefined"]).toContain(typeof message.nodeId);
        if ("timestamp" in message) expect(message.timestamp).toEqual(expect.any(Number));
      }),
    );
  });

  test("no bytes make the decoder throw, and no image reaches beyond its frame", () => {
    const anyBytes = fc.uint8Array({ maxLength: 64 });
    const typed = fc
      .tuple(fc.constantFrom(1, 3, 4), fc.oneof(fc.nat(40), fc.nat(0xffffffff)), anyBytes)
      .map(([type, length, rest]) => new Uint8Array(frame(type, length, [...rest])));
    fc.assert(
      fc.property(fc.oneof(anyBytes, typed), (bytes) => {
        const message = decodeMessage(bytes.slice().buffer);
        expect(["preview", "text", "malformed"]).toContain(message.type);
        if (message.type === "preview") expect(message.image.length).toBeLessThanOrEqual(bytes.length - 8);
      }),
    );
  });

  test("nothing is nested too deeply to be decoded", () => {
    const deep = 100_000;
    const text = `{"type":"my.node","data":${"[".repeat(deep)}${"]".repeat(deep)}}`;
    expect(["custom", "malformed"]).toContain(decodeMessage(text).type);
  });
});
