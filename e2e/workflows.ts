/** Workflows of the model-free nodes: quick to run, and unlike each other where it matters. */

let lastSeed = 0;

/** Steps with progress and previews; unlike any other, so that nothing is cached. */
export function portrait({ steps = 3, delayMs = 5, preview = "jpeg", tag = "portrait" } = {}): object {
  lastSeed += 1;
  return {
    "1": {
      class_type: "ProtoSteps",
      inputs: { steps, delay_ms: delayMs, preview, preview_size: 64, seed: lastSeed, label: tag },
    },
    "2": { class_type: "ProtoOut", inputs: { value: ["1", 1], tag: `${tag}-${lastSeed}` } },
  };
}

/** Always the same: the second run comes from the server's cache. */
export const same = {
  "1": { class_type: "ProtoConst", inputs: { value: 7 } },
  "2": { class_type: "ProtoOut", inputs: { value: ["1", 0], tag: "same" } },
};

export function failing(): object {
  lastSeed += 1;
  return {
    "1": { class_type: "ProtoConst", inputs: { value: lastSeed } },
    "3": {
      class_type: "ProtoError",
      inputs: { value: ["1", 0], message: "boom", delay_ms: 5, kind: "runtime" },
    },
    "2": { class_type: "ProtoOut", inputs: { value: ["3", 0] } },
  };
}

export function blocked(): object {
  lastSeed += 1;
  return {
    "1": { class_type: "ProtoConst", inputs: { value: lastSeed } },
    "3": { class_type: "ProtoBlock", inputs: { value: ["1", 0], message: "blocked on purpose" } },
    "2": { class_type: "ProtoOut", inputs: { value: ["3", 0] } },
    "4": { class_type: "ProtoOut", inputs: { value: ["1", 0], tag: "free" } },
  };
}

export function talking(text: string): object {
  lastSeed += 1;
  return {
    "1": { class_type: "ProtoConst", inputs: { value: lastSeed } },
    "3": { class_type: "ProtoText", inputs: { value: ["1", 0], text, to: "broadcast" } },
    "2": { class_type: "ProtoOut", inputs: { value: ["3", 0], tag: text } },
  };
}

export const picture = (): object => {
  lastSeed += 1;
  return {
    "1": {
      class_type: "ProtoSteps",
      inputs: { steps: 2, delay_ms: 5, preview: "png", preview_size: 64, seed: lastSeed, width: 32 },
    },
    "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "e2e/a & b" } },
  };
};
