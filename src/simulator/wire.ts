import type { JsonObject } from "../comfy/messages.ts";
import type { Prompt } from "./graph.ts";

/** What goes over a socket. */
export type Frame = string | Uint8Array<ArrayBuffer>;

/** A message that waits for the publisher. Encoded late: who it is for is decided when it is published. */
export interface Outgoing {
  readonly type: string;
  readonly promptId: string | undefined;
  readonly nodeId?: string | null;
  encode(): Frame;
}

const frame = (type: string, data: object, promptId?: string, nodeId?: string | null): Outgoing => ({
  type,
  promptId,
  ...(nodeId === undefined ? {} : { nodeId }),
  encode: () => JSON.stringify({ type, data }),
});

export const status = (queueRemaining: number, sid?: string): Outgoing =>
  frame("status", {
    status: { exec_info: { queue_remaining: queueRemaining } },
    ...(sid === undefined ? {} : { sid }),
  });

export const featureFlags = (flags: object): Outgoing => frame("feature_flags", flags);

export const executing = (promptId: string, nodeId: string | null): Outgoing =>
  frame(
    "executing",
    nodeId === null
      ? { node: null, prompt_id: promptId }
      : { node: nodeId, display_node: nodeId, prompt_id: promptId },
    promptId,
    nodeId,
  );

/** What a socket gets that joins during a run: no prompt id. */
export const replayedExecuting = (nodeId: string): Outgoing =>
  frame("executing", { node: nodeId }, undefined, nodeId);

export const progress = (promptId: string, nodeId: string, value: number, max: number): Outgoing =>
  frame("progress", { value, max, prompt_id: promptId, node: nodeId }, promptId, nodeId);

export const executed = (promptId: string, nodeId: string, output: JsonObject | null): Outgoing =>
  frame("executed", { node: nodeId, display_node: nodeId, output, prompt_id: promptId }, promptId, nodeId);

export const custom = (type: string, data: JsonObject): Outgoing => frame(type, data);

/** Messages that are also kept for the history. */
export interface Recorded extends Outgoing {
  readonly type: string;
  readonly data: JsonObject;
}

const recorded = (type: string, data: JsonObject, promptId: string, nodeId?: string): Recorded => ({
  ...frame(type, data, promptId, nodeId),
  data,
});

export const executionStart = (promptId: string, at: number): Recorded =>
  recorded("execution_start", { prompt_id: promptId, timestamp: at }, promptId);

export const executionCached = (promptId: string, nodes: readonly string[], at: number): Recorded =>
  recorded("execution_cached", { nodes, prompt_id: promptId, timestamp: at }, promptId);

export const executionSuccess = (promptId: string, at: number): Recorded =>
  recorded("execution_success", { prompt_id: promptId, timestamp: at }, promptId);

interface Place {
  readonly promptId: string;
  readonly nodeId: string;
  readonly nodeType: string;
  readonly executed: readonly string[];
}

export const executionInterrupted = (place: Place, at: number): Recorded =>
  recorded(
    "execution_interrupted",
    {
      prompt_id: place.promptId,
      node_id: place.nodeId,
      node_type: place.nodeType,
      executed: place.executed,
      timestamp: at,
    },
    place.promptId,
    place.nodeId,
  );

export const executionError = (
  place: Place,
  exception: { readonly type: string; readonly message: string; readonly traceback: readonly string[] },
  currentInputs: JsonObject,
  currentOutputs: readonly string[],
  at: number,
): Recorded =>
  recorded(
    "execution_error",
    {
      prompt_id: place.promptId,
      node_id: place.nodeId,
      node_type: place.nodeType,
      executed: place.executed,
      exception_message: exception.message,
      exception_type: exception.type,
      traceback: exception.traceback,
      current_inputs: currentInputs,
      current_outputs: currentOutputs,
      timestamp: at,
    },
    place.promptId,
    place.nodeId,
  );

/** Not an ending, not in the history, no timestamp (ComfyUI execution.py, `execution_block_cb`). */
export const executionBlocked = (place: Place, message: string): Outgoing =>
  frame(
    "execution_error",
    {
      prompt_id: place.promptId,
      node_id: place.nodeId,
      node_type: place.nodeType,
      executed: place.executed,
      exception_message: `Execution Blocked: ${message}`,
      exception_type: "ExecutionBlocked",
      traceback: [],
      current_inputs: [],
      current_outputs: [],
    },
    place.promptId,
    place.nodeId,
  );

export interface NodeState {
  readonly value: number;
  readonly max: number;
  readonly state: "running" | "finished";
}

export const nodeState = (promptId: string, nodeId: string, { value, max, state }: NodeState): string =>
  `${JSON.stringify(nodeId)}:${JSON.stringify({
    value,
    max,
    state,
    node_id: nodeId,
    prompt_id: promptId,
    display_node_id: nodeId,
    parent_node_id: null,
    real_node_id: nodeId,
  })}`;

/** @param nodes each as {@link nodeState} wrote it */
export const progressState = (promptId: string, nodes: Iterable<string>): Outgoing => {
  const text = `{"type":"progress_state","data":{"prompt_id":${JSON.stringify(promptId)},"nodes":{${[...nodes].join(",")}}}}`;
  return { type: "progress_state", promptId, encode: () => text };
};

export interface EncodedImage {
  readonly format: "jpeg" | "png";
  bytes(): Uint8Array;
}

/** Binary type 1: neither prompt nor node. */
export const legacyPreview = (promptId: string, image: EncodedImage): Outgoing => ({
  type: "bin:1",
  promptId,
  encode: () => binary(1, image.format === "jpeg" ? 1 : 2, image.bytes()),
});

/** Binary type 4. */
export const preview = (promptId: string, nodeId: string, image: EncodedImage): Outgoing => ({
  type: "bin:4",
  promptId,
  nodeId,
  encode: () => {
    const metadata = utf8(
      JSON.stringify({
        node_id: nodeId,
        prompt_id: promptId,
        display_node_id: nodeId,
        parent_node_id: null,
        real_node_id: nodeId,
        image_type: image.format === "jpeg" ? "image/jpeg" : "image/png",
      }),
    );
    return binary(4, metadata.length, metadata, image.bytes());
  },
});

/** Binary type 3: only a node. */
export const text = (nodeId: string, words: string): Outgoing => ({
  type: "bin:3",
  promptId: undefined,
  nodeId,
  encode: () => {
    const id = utf8(nodeId);
    return binary(3, id.length, id, utf8(words));
  },
});

const encoder = new TextEncoder();
const utf8 = (words: string): Uint8Array => encoder.encode(words);

function binary(type: number, second: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 + parts.reduce((sum, part) => sum + part.length, 0));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, type);
  view.setUint32(4, second);
  let place = 8;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

export const logs = (entries: readonly { readonly t: string; readonly m: string }[], size: object | null) =>
  frame("logs", { entries, size });

export const queueItem = (prompt: Prompt): unknown[] => [
  prompt.number,
  prompt.promptId,
  prompt.graph,
  prompt.extraData,
  prompt.outputs,
];

export const execInfo = (queueRemaining: number): object => ({
  exec_info: { queue_remaining: queueRemaining },
});

export const accepted = (prompt: Prompt, nodeErrors: object): object => ({
  prompt_id: prompt.promptId,
  number: prompt.number,
  node_errors: nodeErrors,
});

export interface WireError {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extra_info: object;
}

export const wireError = (type: string, message: string, details: string, extra: object = {}): WireError => ({
  type,
  message,
  details,
  extra_info: extra,
});

export const refused = (error: WireError, nodeErrors: object = {}): object => ({
  error,
  node_errors: nodeErrors,
});

export function serverFlags(version: {
  readonly jobs: boolean;
  readonly cancelJob: boolean;
  readonly nodeReplacements: boolean;
}): object {
  return {
    supports_preview_metadata: true,
    ...(version.cancelJob ? { supports_model_type_tags: true } : {}),
    max_upload_size: 104857600,
    ...(version.jobs ? { extension: { manager: { supports_v4: true } } } : {}),
    ...(version.nodeReplacements ? { node_replacements: true } : {}),
    ...(version.cancelJob ? { assets: false } : {}),
  };
}

export const systemStats = (version: string): object => ({
  system: {
    os: "linux",
    ram_total: 25276502016,
    ram_free: 23305895936,
    comfyui_version: version,
    python_version: "3.11.7 (simulated)",
    pytorch_version: "2.13.0+cpu",
    embedded_python: false,
    argv: ["main.py", "--cpu"],
  },
  devices: [
    {
      name: "cpu",
      type: "cpu",
      index: null,
      vram_total: 25276502016,
      vram_free: 23305895936,
      torch_vram_total: 25276502016,
      torch_vram_free: 23305895936,
    },
  ],
});
