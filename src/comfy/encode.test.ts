import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { announcement } from "./announcement.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import type { ServerMessage } from "./messages.ts";

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const id = fc.oneof(fc.uuid(), text);
const number = fc.oneof(fc.nat(), fc.double({ noNaN: true, noDefaultInfinity: true })).map((one) => one + 0);
const json = fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const jsonObject = fc.dictionary(text, json, { maxKeys: 4 });
const ids = fc.array(id, { maxLength: 4 });
const dated = { timestamp: fc.nat() };

const known = new Set([
  ...["status", "feature_flags", "executing", "progress", "progress_state", "executed"],
  ...["execution_start", "execution_success", "execution_cached", "execution_interrupted", "execution_error"],
]);

const start = fc.record(
  { type: fc.constantFrom("execution_start" as const, "execution_success" as const), promptId: id, ...dated },
  { requiredKeys: ["type", "promptId"] },
);
const status = fc.record(
  {
    type: fc.constant("status" as const),
    queueRemaining: fc.option(fc.nat(), { nil: undefined }),
    sid: text,
  },
  { requiredKeys: ["type", "queueRemaining"] },
);
const executing = fc.oneof(
  fc.record({ type: fc.constant("executing" as const), promptId: id, nodeId: fc.constant(null) }),
  fc.record(
    {
      type: fc.constant("executing" as const),
      promptId: fc.option(id, { nil: undefined }),
      nodeId: id,
      displayNodeId: id,
    },
    { requiredKeys: ["type", "promptId", "nodeId"] },
  ),
);
const progress = fc.record({
  type: fc.constant("progress" as const),
  promptId: fc.option(id, { nil: undefined }),
  nodeId: fc.option(id, { nil: undefined }),
  value: number,
  max: number,
});
const nodeProgress = fc.record(
  {
    // No digits first: an object puts keys that are numbers before all others.
    nodeId: text.map((name) => `n${name}`),
    displayNodeId: id,
    value: number,
    max: number,
    state: text,
    parentNodeId: id,
    realNodeId: id,
  },
  { requiredKeys: ["nodeId", "displayNodeId", "value", "max", "state"] },
);
const progressState = fc.record({
  type: fc.constant("progress_state" as const),
  promptId: id,
  nodes: fc.uniqueArray(nodeProgress, { selector: ({ nodeId }) => nodeId, maxLength: 4 }),
});
const executed = fc.record({
  type: fc.constant("executed" as const),
  promptId: id,
  nodeId: id,
  displayNodeId: id,
  output: fc.option(jsonObject),
});
const failed = fc
  .record(
    {
      type: fc.constant("execution_error" as const),
      promptId: id,
      failure: fc.record({
        nodeId: id,
        nodeType: text,
        exceptionType: fc.oneof(fc.constant("ExecutionBlocked"), text),
        exceptionMessage: text,
        traceback: fc.array(text, { maxLength: 3 }),
        executed: ids,
      }),
      currentInputs: jsonObject,
      currentOutputs: ids,
      ...dated,
    },
    { requiredKeys: ["type", "promptId", "failure"] },
  )
  .map((message) => ({
    ...message,
    blocked: message.failure.exceptionType === "ExecutionBlocked" && message.timestamp === undefined,
  }));
const interrupted = fc.record(
  {
    type: fc.constant("execution_interrupted" as const),
    promptId: id,
    nodeId: id,
    nodeType: text,
    executed: ids,
    ...dated,
  },
  { requiredKeys: ["type", "promptId", "executed"] },
);
const cached = fc.record(
  { type: fc.constant("execution_cached" as const), promptId: id, nodeIds: ids, ...dated },
  { requiredKeys: ["type", "promptId", "nodeIds"] },
);
const image = fc.uint8Array({ maxLength: 64 }).map((bytes) => new Uint8Array(bytes));
const mime = fc.constantFrom("image/jpeg" as const, "image/png" as const);
const preview = fc.oneof(
  fc.record({
    type: fc.constant("preview" as const),
    promptId: fc.constant(undefined),
    nodeId: fc.constant(undefined),
    mime,
    image,
  }),
  fc.record(
    {
      type: fc.constant("preview" as const),
      promptId: id,
      nodeId: fc.option(id, { nil: undefined }),
      displayNodeId: id,
      parentNodeId: id,
      realNodeId: id,
      mime,
      image,
    },
    { requiredKeys: ["type", "promptId", "nodeId", "mime", "image"] },
  ),
);
const nodeText = fc.record({ type: fc.constant("text" as const), nodeId: id, text });
const custom = fc.record({
  type: fc.constant("custom" as const),
  name: text.filter((name) => !known.has(name)),
  data: json,
});
const flags = fc.record({ type: fc.constant("feature_flags" as const), flags: jsonObject });

const messages: readonly (readonly [string, fc.Arbitrary<ServerMessage>])[] = [
  ["status", status],
  ["feature_flags", flags],
  ["execution_start and execution_success", start],
  ["execution_cached", cached],
  ["executing", executing],
  ["progress", progress],
  ["progress_state", progressState],
  ["executed", executed],
  ["execution_error", failed],
  ["execution_interrupted", interrupted],
  ["preview", preview],
  ["text", nodeText],
  ["custom", custom],
];

const sent = (message: ServerMessage): string | ArrayBuffer => {
  const frame = encodeMessage(message);
  return typeof frame === "string" ? frame : frame.slice().buffer;
};

describe("an encoded message", () => {
  test.each(messages)("%s is decoded to what it was", (_, arbitrary) => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        expect(decodeMessage(sent(message))).toEqual(message);
      }),
    );
  });

  test("that is malformed is no message for its reader, either", () => {
    expect(decodeMessage(sent({ type: "malformed", reason: "nonsense" })).type).toBe("malformed");
  });

  test.each<[string, ServerMessage, string]>([
    [
      "the first status",
      { type: "status", queueRemaining: 0, sid: "a" },
      '{"type":"status","data":{"status":{"exec_info":{"queue_remaining":0}},"sid":"a"}}',
    ],
    [
      "the end of a run",
      { type: "executing", promptId: "p", nodeId: null },
      '{"type":"executing","data":{"node":null,"prompt_id":"p"}}',
    ],
    [
      "the replay on connecting",
      { type: "executing", promptId: undefined, nodeId: "3" },
      '{"type":"executing","data":{"node":"3"}}',
    ],
    [
      "a progress",
      { type: "progress", promptId: "p", nodeId: "3", value: 1, max: 2 },
      '{"type":"progress","data":{"value":1,"max":2,"prompt_id":"p","node":"3"}}',
    ],
    [
      "the state of a node without a parent",
      {
        type: "progress_state",
        promptId: "p",
        nodes: [{ nodeId: "3", displayNodeId: "3", value: 1, max: 2, state: "running", realNodeId: "3" }],
      },
      '{"type":"progress_state","data":{"prompt_id":"p","nodes":{"3":{"value":1,"max":2,"state":"running","node_id":"3","prompt_id":"p","display_node_id":"3","parent_node_id":null,"real_node_id":"3"}}}}',
    ],
    [
      "an executed node",
      { type: "executed", promptId: "p", nodeId: "9", displayNodeId: "9", output: null },
      '{"type":"executed","data":{"node":"9","display_node":"9","output":null,"prompt_id":"p"}}',
    ],
    ["a custom message", { type: "custom", name: "logs", data: [1] }, '{"type":"logs","data":[1]}'],
  ])("%s is ComfyUI's, letter by letter", (_, message, frame) => {
    expect(encodeMessage(message)).toBe(frame);
  });

  test.each<[string, ServerMessage, string]>([
    [
      "a JPEG without ids",
      {
        type: "preview",
        promptId: undefined,
        nodeId: undefined,
        mime: "image/jpeg",
        image: new Uint8Array([255, 216]),
      },
      "0000000100000001ffd8",
    ],
    [
      "a PNG without ids",
      {
        type: "preview",
        promptId: undefined,
        nodeId: undefined,
        mime: "image/png",
        image: new Uint8Array([137]),
      },
      "000000010000000289",
    ],
    ["a text", { type: "text", nodeId: "3", text: "ü" }, "000000030000000133c3bc"],
  ])("%s is ComfyUI's, byte by byte", (_, message, hex) => {
    expect(Buffer.from(encodeMessage(message) as Uint8Array).toString("hex")).toBe(hex);
  });
});

describe("the announcement", () => {
  test("is what ComfyUI takes for a wish for metadata: a true that is JSON's", () => {
    expect(JSON.parse(announcement)).toEqual({
      type: "feature_flags",
      data: { supports_preview_metadata: true },
    });
  });
});
