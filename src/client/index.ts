export type { ViewOptions } from "../comfy/files.ts";
export {
  type AnyComfyTabsError,
  ComfyTabsError,
  type ErrorCode,
  type ErrorDetails,
  type NodeErrors,
  type ServerRefusal,
} from "../protocol/errors.ts";
export type { Auth, HostMode, ServerSnapshot, UploadedFile } from "../protocol/session-api.ts";
export type {
  OutputFile,
  Progress,
  TaskResult,
  TaskStatus,
  WarningCode,
} from "../protocol/tasks.ts";
export type {
  ConnectOptions,
  Diagnostics,
  LockOptions,
  Logger,
  ObjectInfo,
  ServerLock,
  ServerOptions,
  Session,
  SessionEvents,
  SubmitOptions,
  Task,
  TaskEvent,
  UploadOptions,
  WhenTabGone,
  Workflow,
} from "./api.ts";
export { connect } from "./connect.ts";
