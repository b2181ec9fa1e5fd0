export type { ComfyVersion } from "./abilities.ts";
export type { Answer, Request, Upload } from "./answers.ts";
export { type ComfyServer, type ComfyServerOptions, createComfyServer } from "./comfy-server.ts";
export type { Hold } from "./holds.ts";
export { type Simulator, type SimulatorOptions, startSimulator, type Visitor } from "./http-server.ts";
export type { FrameEntry, PromptEntry, RequestEntry, SimulatorLog, SocketEntry } from "./ledger.ts";
export type { Fault } from "./misbehaviour.ts";
export {
  ExecutionBlocker,
  type InputSpec,
  NodeException,
  type NodeInputs,
  type NodeResult,
  type NodeRun,
  type NodeType,
  type Pause,
} from "./nodes/node-type.ts";
export type { Cors } from "./origins.ts";
export type { ServerSocket, Sink } from "./sockets.ts";
