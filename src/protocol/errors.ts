/** What each code carries in `details`. The keys are all the codes there are. */
export interface ErrorDetails {
  /** The workflow is not in ComfyUI's API format, e.g. it was saved for the editor. */
  "workflow-format": { readonly path: string };
  /** The workflow would fail or harm the server; found before sending. `path` leads to the place. */
  "workflow-invalid": { readonly path: string };
  /** The server refused the workflow. Both fields are the server's own words. */
  "workflow-rejected": {
    readonly serverId: string;
    readonly error: ServerRefusal;
    readonly nodeErrors: NodeErrors;
  };
  /** A node raised an exception while the workflow ran. */
  "node-failed": {
    readonly nodeId: string;
    readonly nodeType: string;
    readonly exceptionType: string;
    readonly exceptionMessage: string;
    readonly traceback: readonly string[];
    readonly executed: readonly string[];
  };
  cancelled: { readonly by: "owner" | "other" };
  lost: { readonly reason: LossReason };
  "server-unreachable": { readonly serverId?: string; readonly url?: string };
  "cross-origin-blocked": { readonly serverId?: string; readonly url?: string };
  "local-network-blocked": { readonly serverId?: string; readonly url?: string };
  "mixed-content": { readonly serverId?: string; readonly url?: string };
  "origin-refused": { readonly serverId?: string; readonly url?: string };
  unauthorized: { readonly serverId?: string; readonly status?: number };
  "not-comfyui": { readonly serverId?: string; readonly url?: string; readonly status?: number };
  "server-too-old": { readonly serverId?: string; readonly version?: string };
  /** More than the host or the server takes. Sizes in characters for workflows, in bytes for files. */
  "too-large": { readonly size?: number; readonly limit?: number };
  timeout: { readonly afterMs: number };
  /** The host died while the call was under way; what it did is told by the task's events. */
  "host-lost": { readonly epoch?: string };
  "version-mismatch": { readonly ours: string; readonly theirs: string };
  "not-found": { readonly what: string };
  "would-deadlock": { readonly serverIds: readonly string[] };
  "unsupported-environment": { readonly missing: string };
  aborted: Record<never, never>;
  "invalid-option": { readonly option: string };
  closed: Record<never, never>;
}

export type ErrorCode = keyof ErrorDetails;

/** Why a task is `lost`. */
export type LossReason = "server-restarted" | "removed";

/** ComfyUI's own refusal of a prompt. */
export interface ServerRefusal {
  readonly type: string;
  readonly message: string;
  readonly details: string;
  readonly extraInfo?: unknown;
}

/** ComfyUI's findings for each node of a refused prompt. */
export type NodeErrors = {
  readonly [nodeId: string]: {
    readonly classType: string;
    readonly errors: readonly ServerRefusal[];
    readonly dependentOutputs: readonly string[];
  };
};

/** The only error that comfy-tabs throws. Branch on `code`; the message is for people. */
export class ComfyTabsError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = "ComfyTabsError";
  readonly code: C;
  readonly details: ErrorDetails[C];

  constructor(code: C, message: string, details: ErrorDetails[C]) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** Undefined of what is not ours. */
export const codeOf = (error: unknown): ErrorCode | undefined =>
  error instanceof ComfyTabsError ? error.code : undefined;

/** Narrows by `code`. */
export type AnyComfyTabsError = { [C in ErrorCode]: ComfyTabsError<C> }[ErrorCode];

/** An error on a port: structured clone would lose its class, code and details. */
export type WireError = {
  [C in ErrorCode]: { readonly code: C; readonly message: string; readonly details: ErrorDetails[C] };
}[ErrorCode];

export function wireError<C extends ErrorCode>(
  code: C,
  message: string,
  details: ErrorDetails[C],
): WireError {
  return { code, message, details } as unknown as WireError;
}

export function errorFromWire(error: WireError): AnyComfyTabsError {
  return new ComfyTabsError(error.code, error.message, error.details) as AnyComfyTabsError;
}

export function errorToWire(error: ComfyTabsError): WireError {
  return wireError(error.code, error.message, error.details);
}
