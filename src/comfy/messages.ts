/**
 * What ComfyUI says over its socket, in our words: `type` keeps ComfyUI's name, fields are camelCase.
 * `decodeMessage` makes these from the wire, `encodeMessage` the wire from these.
 */
export type ServerMessage =
  | StatusMessage
  | { readonly type: "feature_flags"; readonly flags: JsonObject }
  | { readonly type: "execution_start"; readonly promptId: string; readonly timestamp?: number }
  | {
      readonly type: "execution_cached";
      readonly promptId: string;
      readonly nodeIds: readonly string[];
      readonly timestamp?: number;
    }
  | ExecutingMessage
  | ProgressMessage
  | { readonly type: "progress_state"; readonly promptId: string; readonly nodes: readonly NodeProgress[] }
  | ExecutedMessage
  | { readonly type: "execution_success"; readonly promptId: string; readonly timestamp?: number }
  | ExecutionErrorMessage
  | {
      readonly type: "execution_interrupted";
      readonly promptId: string;
      readonly nodeId?: string;
      readonly nodeType?: string;
      readonly executed: readonly string[];
      readonly timestamp?: number;
    }
  | PreviewMessage
  | { readonly type: "text"; readonly nodeId: string; readonly text: string }
  /** Anything else: custom nodes send what they like, with or without a prompt id. */
  | { readonly type: "custom"; readonly name: string; readonly data: unknown }
  /** A frame that is not what ComfyUI sends. A value, never a throw: a throw would kill the worker. */
  | { readonly type: "malformed"; readonly reason: string };

export type JsonObject = { readonly [key: string]: unknown };

/** The server's queue has changed. Three a prompt: enqueued, picked up, done. */
export interface StatusMessage {
  readonly type: "status";
  /** Pending and running prompts together. Undefined when the server did not say. */
  readonly queueRemaining: number | undefined;
  /** Only in the first message of a socket: the client id the server knows it by. */
  readonly sid?: string;
}

/** A node begins; with `nodeId: null` the prompt is over and its history is written. */
export interface ExecutingMessage {
  readonly type: "executing";
  /** Undefined only in the replay that a server sends to a socket which joins during a run. */
  readonly promptId: string | undefined;
  readonly nodeId: string | null;
  readonly displayNodeId?: string;
}

export interface ProgressMessage {
  readonly type: "progress";
  readonly promptId: string | undefined;
  readonly nodeId: string | undefined;
  readonly value: number;
  readonly max: number;
}

/** One node in a `progress_state`, which names all nodes that have started, not only what changed. */
export interface NodeProgress {
  readonly nodeId: string;
  readonly displayNodeId: string;
  readonly value: number;
  readonly max: number;
  readonly state: string;
  readonly parentNodeId?: string;
  readonly realNodeId?: string;
}

/** A node with something to show has finished. */
export interface ExecutedMessage {
  readonly type: "executed";
  readonly promptId: string;
  readonly nodeId: string;
  readonly displayNodeId: string;
  /** What the node shows, e.g. `{images: […]}`; null for a cached node without any. */
  readonly output: JsonObject | null;
}

export interface ExecutionErrorMessage {
  readonly type: "execution_error";
  readonly promptId: string;
  /** Not an ending: a node refused its input and the prompt goes on (`ExecutionBlocked`). */
  readonly blocked: boolean;
  readonly failure: NodeFailure;
  /** What the node was given, shortened by the server; an empty list when it was blocked. */
  readonly currentInputs?: unknown;
  /** Ids of the nodes whose outputs the server held. */
  readonly currentOutputs?: unknown;
  readonly timestamp?: number;
}

export interface NodeFailure {
  readonly nodeId: string;
  readonly nodeType: string;
  readonly exceptionType: string;
  readonly exceptionMessage: string;
  readonly traceback: readonly string[];
  readonly executed: readonly string[];
}

/** Binary types 1 (no ids at all) and 4 (with them). */
export interface PreviewMessage {
  readonly type: "preview";
  readonly promptId: string | undefined;
  readonly nodeId: string | undefined;
  readonly displayNodeId?: string;
  readonly parentNodeId?: string;
  readonly realNodeId?: string;
  /** By the server's word; the bytes have the last one. */
  readonly mime: "image/jpeg" | "image/png";
  /** A view into the frame: copy or transfer it before the frame is given away. */
  readonly image: Uint8Array<ArrayBuffer>;
}
