import { readFailure } from "./failure.ts";
import { asId, asIds, asNumber, asObject, asString, isObject, parseJson, present } from "./json.ts";
import type { JsonObject, NodeProgress, ServerMessage } from "./messages.ts";

/**
 * What a frame says. Never throws: what is not ComfyUI's becomes a `malformed` message that says what is
 * wrong. Both forms of previews are understood at any time: the server chooses by the flags that it
 * happens to hold at the moment, so legacy ones come even to those who asked for metadata.
 */
export function decodeMessage(data: string | ArrayBuffer): ServerMessage {
  return typeof data === "string" ? decodeText(data) : decodeBinary(data);
}

const malformed = (reason: string): ServerMessage => ({ type: "malformed", reason });

function decodeText(text: string): ServerMessage {
  const frame = parseJson(text);
  if (!isObject(frame) || typeof frame.type !== "string")
    return malformed(
      isObject(frame) ? "a text frame without a type" : "a text frame that is not a JSON object",
    );
  const { type } = frame;
  const data = asObject(frame.data);
  const promptId = asString(data.prompt_id);
  const dated: Dated = typeof data.timestamp === "number" ? { timestamp: data.timestamp } : {};

  switch (type) {
    case "status": {
      const info = asObject(asObject(data.status).exec_info);
      return {
        type,
        queueRemaining: asNumber(info.queue_remaining),
        ...present({ sid: asString(data.sid) }),
      };
    }
    case "feature_flags":
      return { type, flags: data };
    case "executing": {
      if (data.node === null) {
        return promptId === undefined
          ? malformed("an end of a run without a prompt")
          : { type, promptId, nodeId: null };
      }
      const nodeId = asId(data.node);
      if (nodeId === undefined) return malformed("executing without a node");
      return { type, promptId, nodeId, ...present({ displayNodeId: asId(data.display_node) }) };
    }
    case "progress": {
      const [value, max] = [asNumber(data.value), asNumber(data.max)];
      if (value === undefined || max === undefined) return malformed("progress without numbers");
      return { type, promptId, nodeId: asId(data.node), value, max };
    }
    case "execution_start":
    case "execution_success":
    case "execution_cached":
    case "execution_interrupted":
    case "execution_error":
    case "executed":
    case "progress_state":
      return promptId === undefined
        ? malformed(`${type} without a prompt`)
        : ofPrompt(type, promptId, data, dated);
    default:
      return { type: "custom", name: type, data: frame.data };
  }
}

type Dated = { readonly timestamp?: number };

function ofPrompt(type: string, promptId: string, data: JsonObject, dated: Dated): ServerMessage {
  switch (type) {
    case "execution_cached":
      return { type, promptId, nodeIds: asIds(data.nodes), ...dated };
    case "execution_interrupted":
      return {
        type,
        promptId,
        executed: asIds(data.executed),
        ...present({ nodeId: asId(data.node_id), nodeType: asString(data.node_type) }),
        ...dated,
      };
    case "execution_error": {
      const failure = readFailure(data);
      // A blocker's error is not dated and does not end the run; servers before 0.0.1 date none (ComfyUI execution.py).
      const blocked = failure.exceptionType === "ExecutionBlocked" && dated.timestamp === undefined;
      return {
        type,
        promptId,
        blocked,
        failure,
        ...present({ currentInputs: data.current_inputs, currentOutputs: data.current_outputs }),
        ...dated,
      };
    }
    case "executed": {
      const nodeId = asId(data.node);
      if (nodeId === undefined) return malformed("executed without a node");
      return {
        type,
        promptId,
        nodeId,
        displayNodeId: asId(data.display_node) ?? nodeId,
        output: isObject(data.output) ? data.output : null,
      };
    }
    case "progress_state":
      return { type, promptId, nodes: Object.entries(asObject(data.nodes)).map(readNodeProgress) };
    default:
      return { type: type as "execution_start" | "execution_success", promptId, ...dated };
  }
}

function readNodeProgress([key, value]: [string, unknown]): NodeProgress {
  const node = asObject(value);
  const nodeId = asId(node.node_id) ?? key;
  return {
    nodeId,
    displayNodeId: asId(node.display_node_id) ?? nodeId,
    value: asNumber(node.value) ?? 0,
    max: asNumber(node.max) ?? 1,
    state: asString(node.state) ?? "",
    ...present({ parentNodeId: asId(node.parent_node_id), realNodeId: asId(node.real_node_id) }),
  };
}

/** All integers are big-endian u32; the first is the type (ComfyUI protocol.py, server.py). */
function decodeBinary(buffer: ArrayBuffer): ServerMessage {
  if (buffer.byteLength < 8) return malformed("a binary frame of less than 8 bytes");
  const view = new DataView(buffer);
  const [type, second] = [view.getUint32(0), view.getUint32(4)];
  switch (type) {
    case 1:
      return {
        type: "preview",
        promptId: undefined,
        nodeId: undefined,
        mime: second === 2 ? "image/png" : "image/jpeg",
        image: new Uint8Array(buffer, 8),
      };
    case 3:
    case 4: {
      if (second > buffer.byteLength - 8)
        return malformed("a binary frame whose header is longer than itself");
      const header = utf8(new Uint8Array(buffer, 8, second));
      const rest = new Uint8Array(buffer, 8 + second);
      return type === 3 ? { type: "text", nodeId: header, text: utf8(rest) } : readPreview(header, rest);
    }
    default:
      return malformed(`a binary frame of unknown type ${type}`);
  }
}

function readPreview(header: string, image: Uint8Array<ArrayBuffer>): ServerMessage {
  const data = parseJson(header);
  if (!isObject(data)) return malformed("a preview whose metadata is not a JSON object");
  const promptId = asString(data.prompt_id);
  if (promptId === undefined) return malformed("a preview whose metadata has no prompt");
  return {
    type: "preview",
    promptId,
    nodeId: asId(data.node_id),
    ...present({
      displayNodeId: asId(data.display_node_id),
      parentNodeId: asId(data.parent_node_id),
      realNodeId: asId(data.real_node_id),
    }),
    mime: data.image_type === "image/png" ? "image/png" : "image/jpeg",
    image,
  };
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const utf8 = (bytes: Uint8Array): string => decoder.decode(bytes);
