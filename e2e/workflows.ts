/** Workflows of the model-free nodes: quick to run, and unlike each other where it matters. */

// No seed of an earlier run comes again: a server that outlives the run would answer from its cache.
let lastSeed = Date.now();

interface Previewed {
  /** Pixels of a side: previews of this size are shown before anything else happens. Default: none are shown. */
  readonly previewSize?: number;
}

/** A node that makes a number, and where it comes out; unlike any other, so that nothing is cached. */
function number({ previewSize }: Previewed): { node: object; value: [string, number] } {
  lastSeed += 1;
  if (previewSize === undefined)
    return { node: { class_type: "ProtoConst", inputs: { value: lastSeed } }, value: ["1", 0] };
  const inputs = { steps: 4, delay_ms: 5, preview: "jpeg", preview_size: previewSize, seed: lastSeed };
  return { node: { class_type: "ProtoSteps", inputs }, value: ["1", 1] };
}

/** Steps with progress and previews; unlike any other, so that nothing is cached. */
export function portrait({
  steps = 3,
  delayMs = 5,
  preview = "jpeg",
  previewSize = 64,
  tag = "portrait",
} = {}): object {
  lastSeed += 1;
  return {
    "1": {
      class_type: "ProtoSteps",
      inputs: { steps, delay_ms: delayMs, preview, preview_size: previewSize, seed: lastSeed, label: tag },
    },
    "2": { class_type: "ProtoOut", inputs: { value: ["1", 1], tag: `${tag}-${lastSeed}` } },
  };
}

/** Always the same: the second run comes from the server's cache. */
export const same = {
  "1": { class_type: "ProtoConst", inputs: { value: 7 } },
  "2": { class_type: "ProtoOut", inputs: { value: ["1", 0], tag: "same" } },
};

export function failing(previews: Previewed = {}): object {
  const { node, value } = number(previews);
  return {
    "1": node,
    "3": {
      class_type: "ProtoError",
      inputs: { value, message: "boom", delay_ms: 5, kind: "runtime" },
    },
    "2": { class_type: "ProtoOut", inputs: { value: ["3", 0] } },
  };
}

export function blocked(previews: Previewed = {}): object {
  const { node, value } = number(previews);
  return {
    "1": node,
    "3": { class_type: "ProtoBlock", inputs: { value, message: "blocked on purpose" } },
    "2": { class_type: "ProtoOut", inputs: { value: ["3", 0] } },
    "4": { class_type: "ProtoOut", inputs: { value, tag: "free" } },
  };
}

export function talking(text: string, previews: Previewed = {}): object {
  const { node, value } = number(previews);
  return {
    "1": node,
    "3": { class_type: "ProtoText", inputs: { value, text, to: "broadcast" } },
    "2": { class_type: "ProtoOut", inputs: { value: ["3", 0], tag: text } },
  };
}

export const picture = ({ previewSize = 64 } = {}): object => {
  lastSeed += 1;
  return {
    "1": {
      class_type: "ProtoSteps",
      inputs: { steps: 2, delay_ms: 5, preview: "png", preview_size: previewSize, seed: lastSeed, width: 32 },
    },
    "2": { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "e2e/a & b" } },
  };
};
