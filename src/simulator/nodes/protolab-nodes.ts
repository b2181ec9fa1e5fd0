import type { JsonObject } from "../../comfy/messages.ts";
import { flat, noisePicture, stepPicture } from "../pictures.ts";
import { createRandom } from "../random.ts";
import { ExecutionBlocker, Interrupted, NodeException, type NodeType } from "./node-type.ts";

const largest = 2 ** 53;
const seed = ["INT", { default: 0, min: 0, max: largest }] as const;
const delay = (usual: number) => ["INT", { default: usual, min: 0, max: 600000 }] as const;
const anything = ["*", {}] as const;
const protolab = { category: "protolab", module: "custom_nodes.protolab" };

const number = (inputs: JsonObject, name: string, otherwise: number): number =>
  typeof inputs[name] === "number" ? inputs[name] : otherwise;
const text = (inputs: JsonObject, name: string, otherwise = ""): string =>
  typeof inputs[name] === "string" ? inputs[name] : otherwise;
const isScalar = (value: unknown): boolean =>
  typeof value === "number" || typeof value === "string" || typeof value === "boolean";

/** Nodes for tests and experiments that need no model: steps, errors, blockers, hangs, texts, events. */
export const protolabNodes: readonly NodeType[] = [
  {
    ...protolab,
    name: "ProtoSteps",
    inputs: {
      required: {
        steps: ["INT", { default: 5, min: 0, max: 100000 }],
        delay_ms: delay(100),
        preview: [["none", "jpeg", "png"]],
        preview_size: ["INT", { default: 256, min: 8, max: 8192 }],
        seed,
      },
      optional: {
        noise: ["BOOLEAN", { default: false }],
        preview_every: ["INT", { default: 1, min: 1, max: 100000 }],
        after: anything,
        label: ["STRING", { default: "proto" }],
        fail_at: ["INT", { default: -1, min: -1, max: 100000 }],
        width: ["INT", { default: 64, min: 8, max: 4096 }],
      },
    },
    outputs: ["IMAGE", "INT"],
    outputNames: ["image", "steps"],
    *run(inputs, node) {
      const steps = number(inputs, "steps", 0);
      const format = text(inputs, "preview", "none");
      const size = number(inputs, "preview_size", 256);
      const every = number(inputs, "preview_every", 1);
      const update = node.progressBar(steps);
      for (let step = 0; step < steps; step += 1) {
        yield number(inputs, "delay_ms", 0);
        if (step === number(inputs, "fail_at", -1))
          throw new NodeException("RuntimeError", `protolab: deliberate failure at step ${step}`);
        const shown = (format === "jpeg" || format === "png") && step % every === 0;
        if (!shown) {
          yield* update(step + 1);
          continue;
        }
        const picture =
          inputs.noise === true
            ? noisePicture(size, Math.floor(node.random.next() * largest))
            : stepPicture(step + 1, steps, size);
        yield* update(step + 1, { format, picture });
      }
      const random = createRandom(number(inputs, "seed", 0));
      const width = number(inputs, "width", 64);
      const part = (): number => Math.floor(random.next() * 256);
      return { values: [flat(width, width, [part(), part(), part()]), steps] };
    },
  },
  {
    ...protolab,
    name: "ProtoOut",
    inputs: {
      required: { value: anything },
      optional: { tag: ["STRING", { default: "" }], delay_ms: delay(0) },
    },
    outputs: [],
    isOutput: true,
    *run(inputs) {
      yield number(inputs, "delay_ms", 0);
      const value = isScalar(inputs.value) ? inputs.value : "Tensor";
      const tag = text(inputs, "tag");
      return { values: [], ui: { text: [`${tag}:${value}`], proto: [{ tag, value }] } };
    },
  },
  {
    ...protolab,
    name: "ProtoConst",
    inputs: { required: { value: seed } },
    outputs: ["INT"],
    run(inputs) {
      return { values: [inputs.value] };
    },
  },
  {
    ...protolab,
    name: "ProtoError",
    inputs: {
      required: {
        value: anything,
        message: ["STRING", { default: "boom" }],
        delay_ms: delay(0),
        kind: [["runtime", "value", "interrupt"]],
      },
    },
    outputs: ["*"],
    *run(inputs) {
      yield number(inputs, "delay_ms", 0);
      if (inputs.kind === "interrupt") throw new Interrupted();
      throw new NodeException(
        inputs.kind === "value" ? "ValueError" : "RuntimeError",
        text(inputs, "message"),
      );
    },
  },
  {
    ...protolab,
    name: "ProtoBlock",
    inputs: { required: { value: anything, message: ["STRING", { default: "" }] } },
    outputs: ["*"],
    run(inputs) {
      return { values: [new ExecutionBlocker(text(inputs, "message") || undefined)] };
    },
  },
  {
    ...protolab,
    name: "ProtoHang",
    inputs: { required: { value: anything, ms: ["INT", { default: 3000, min: 0, max: 600000 }] } },
    outputs: ["*"],
    *run(inputs) {
      yield number(inputs, "ms", 0);
      return { values: [inputs.value] };
    },
  },
  {
    ...protolab,
    name: "ProtoText",
    inputs: {
      required: {
        value: anything,
        text: ["STRING", { default: "hello" }],
        to: [["broadcast", "client"]],
      },
      hidden: { unique_id: "UNIQUE_ID" },
    },
    outputs: ["*"],
    run(inputs, node) {
      node.sendText(text(inputs, "text"), inputs.to === "client" ? "client" : "everybody");
      return { values: [inputs.value] };
    },
  },
  {
    ...protolab,
    name: "ProtoEvent",
    inputs: {
      required: {
        value: anything,
        type: ["STRING", { default: "proto.custom" }],
        to: [["broadcast", "client"]],
      },
      hidden: { unique_id: "UNIQUE_ID" },
    },
    outputs: ["*"],
    run(inputs, node) {
      const to = inputs.to === "client" ? "client" : "everybody";
      node.sendEvent(text(inputs, "type"), { node: node.nodeId, hello: 1 }, to);
      return { values: [inputs.value] };
    },
  },
];
