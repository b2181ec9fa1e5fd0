import type { NodeProgress, PreviewMessage, ServerMessage } from "./messages.ts";

/**
 * A message as ComfyUI sends it. `decodeMessage` makes the same message of it again, except of a
 * `malformed` one, whose reason goes out as it is: text that is no message.
 */
export function encodeMessage(message: ServerMessage): string | Uint8Array<ArrayBuffer> {
  switch (message.type) {
    case "preview":
      return encodePreview(message);
    case "text": {
      const nodeId = utf8(message.nodeId);
      return joined(integer(3), integer(nodeId.length), nodeId, utf8(message.text));
    }
    case "malformed":
      return message.reason;
    case "custom":
      return JSON.stringify({ type: message.name, data: message.data });
    default:
      return JSON.stringify({ type: message.type, data: dataOf(message) });
  }
}

type TextMessage = Exclude<ServerMessage, { type: "preview" | "text" | "malformed" | "custom" }>;

/** In the order of ComfyUI's own keys; those that are undefined are not sent. */
function dataOf(message: TextMessage): unknown {
  switch (message.type) {
    case "status":
      return { status: { exec_info: { queue_remaining: message.queueRemaining } }, sid: message.sid };
    case "feature_flags":
      return message.flags;
    case "execution_start":
    case "execution_success":
      return { prompt_id: message.promptId, timestamp: message.timestamp };
    case "execution_cached":
      return { nodes: message.nodeIds, prompt_id: message.promptId, timestamp: message.timestamp };
    case "executing":
      return { node: message.nodeId, display_node: message.displayNodeId, prompt_id: message.promptId };
    case "progress": {
      const { value, max, promptId, nodeId } = message;
      return { value, max, prompt_id: promptId, node: nodeId };
    }
    case "progress_state":
      return {
        prompt_id: message.promptId,
        nodes: Object.fromEntries(
          message.nodes.map((node) => [node.nodeId, nodeProgress(node, message.promptId)]),
        ),
      };
    case "executed":
      return {
        node: message.nodeId,
        display_node: message.displayNodeId,
        output: message.output,
        prompt_id: message.promptId,
      };
    case "execution_error": {
      const { failure } = message;
      return {
        prompt_id: message.promptId,
        node_id: failure.nodeId,
        node_type: failure.nodeType,
        executed: failure.executed,
        exception_message: failure.exceptionMessage,
        exception_type: failure.exceptionType,
        traceback: failure.traceback,
        current_inputs: message.currentInputs,
        current_outputs: message.currentOutputs,
        timestamp: message.timestamp,
      };
    }
    case "execution_interrupted":
      return {
        prompt_id: message.promptId,
        node_id: message.nodeId,
        node_type: message.nodeType,
        executed: message.executed,
        timestamp: message.timestamp,
      };
  }
}

const nodeProgress = (node: NodeProgress, promptId: string): object => ({
  value: node.value,
  max: node.max,
  state: node.state,
  node_id: node.nodeId,
  prompt_id: promptId,
  display_node_id: node.displayNodeId,
  parent_node_id: node.parentNodeId ?? null,
  real_node_id: node.realNodeId ?? null,
});

function encodePreview(preview: PreviewMessage): Uint8Array<ArrayBuffer> {
  if (preview.promptId === undefined)
    return joined(integer(1), integer(preview.mime === "image/png" ? 2 : 1), preview.image);
  const header = utf8(
    flatJson({
      node_id: preview.nodeId ?? null,
      prompt_id: preview.promptId,
      display_node_id: preview.displayNodeId ?? null,
      parent_node_id: preview.parentNodeId ?? null,
      real_node_id: preview.realNodeId ?? null,
      image_type: preview.mime,
    }),
  );
  return joined(integer(4), integer(header.length), header, preview.image);
}

/** JSON spaced as Python's `json.dumps` does it, so that lengths are the recorded ones. */
const flatJson = (fields: { readonly [name: string]: string | null }): string =>
  `{${Object.entries(fields)
    .map(([name, value]) => `"${name}": ${JSON.stringify(value)}`)
    .join(", ")}}`;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

function integer(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
