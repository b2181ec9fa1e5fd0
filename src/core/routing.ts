import { present } from "../comfy/json.ts";
import type { NodeProgress, ServerMessage } from "../comfy/messages.ts";
import { socketProved, suspect } from "./connection.ts";
import { deliverMessage } from "./delivery.ts";
import { finishFromFrames } from "./endings.ts";
import type { SocketKey } from "./facts.ts";
import { heard } from "./hearing.ts";
import { surveySoon } from "./look-up.ts";
import { log } from "./requests.ts";
import { announceServer, openTasksAt } from "./servers.ts";
import type { Coordinator, Server, Task } from "./state.ts";
import { addOutput, emit, isOver, markAccepted, markQueued, markStarted, warn } from "./task-lifecycle.ts";
import { startedAgain } from "./twins.ts";

/** Messages of prompts nobody owns yet: kept for a `register` or a POST answer that is on its way. */
const unclaimedLimit = { prompts: 64, messages: 256, bytes: 1024 * 1024, ms: 30_000 } as const;

type PromptMessage = Extract<ServerMessage, { promptId: string | undefined }>;

/** Everything that comes from a server passes here, and goes to the one task it belongs to, or to nobody. */
export function messageReceived(
  c: Coordinator,
  socket: SocketKey,
  message: ServerMessage,
  bytes: number,
): void {
  const key = c.sockets.get(socket);
  const server = key && c.servers.get(key);
  if (!server) return;
  heard(c, server);
  socketProved(c, server, socket);

  switch (message.type) {
    case "status":
      if (message.queueRemaining !== undefined) queueChanged(c, server, message.queueRemaining);
      return;
    case "feature_flags":
      return;
    case "custom":
      broadcast(c, server, message.name, message.data, bytes);
      return;
    case "malformed":
      // It may have been an output: what runs is read from the history when it ends.
      for (const task of openTasksAt(c, server)) task.outputsIncomplete = true;
      log(c, "warn", `${server.url} sent a message that cannot be read: ${message.reason}`);
      return;
    case "text":
      toTask(c, server, socket, server.running, message, bytes);
      return;
    case "preview":
      toTask(c, server, socket, message.promptId ?? server.running, message, bytes);
      return;
    default:
      trackRun(server, message);
      toTask(c, server, socket, message.promptId, message, bytes);
  }
}

/**
 * One prompt runs at a time and frames are in order, so what node code sends without an id between a
 * prompt's `execution_start` and its `executing{null}` is that prompt's. Outside, it is a stranger's.
 */
function trackRun(server: Server, message: PromptMessage): void {
  if (message.type === "execution_start") server.running = message.promptId;
  else if (message.type === "executing" && message.nodeId === null && server.running === message.promptId)
    server.running = undefined;
}

function toTask(
  c: Coordinator,
  server: Server,
  socket: SocketKey,
  promptId: string | undefined,
  message: Exclude<ServerMessage, { type: "status" | "feature_flags" | "custom" | "malformed" }>,
  bytes: number,
): void {
  if (promptId === undefined) return;
  const taskId = server.routes.get(promptId);
  const task = taskId === undefined ? undefined : c.tasks.get(taskId);
  if (task) tell(c, server, task, socket, message, bytes);
  else keepUnclaimed(c, server, socket, promptId, message, bytes);
}

function tell(
  c: Coordinator,
  server: Server,
  task: Task,
  socket: SocketKey,
  message: Exclude<ServerMessage, { type: "status" | "feature_flags" | "custom" | "malformed" }>,
  bytes: number,
): void {
  if (message.type === "execution_start") {
    // A look-up may have told of the run, and of its end, before the first frame of it came.
    if (task.startSeen || (isOver(task) && task.witness !== socket)) startedAgain(c, server, task);
    task.startSeen = true;
  }
  // Late frames after the ending are normal; the first ending wins.
  if (isOver(task)) return;
  task.lastNewsAt = c.moment.now;
  task.misses = 0;
  task.stalled = false;
  task.unheard = false;

  switch (message.type) {
    case "execution_start":
      markStarted(c, task);
      return;
    case "execution_cached":
      markStarted(c, task);
      task.cachedNodes = message.nodeIds.length;
      if (message.nodeIds.length > 0) emit(c, task, { type: "cached", nodeIds: message.nodeIds });
      return;
    case "executing":
      markStarted(c, task);
      if (message.nodeId === null) {
        finishFromFrames(c, server, task, socket);
        return;
      }
      task.currentNode = message.nodeId;
      emit(c, task, {
        type: "node",
        nodeId: message.nodeId,
        displayNodeId: message.displayNodeId ?? message.nodeId,
      });
      return;
    case "progress":
      if (message.nodeId !== undefined)
        progressed(c, task, message.nodeId, message.value, message.max, task.overall);
      return;
    case "progress_state":
      runProgressed(c, task, message.nodes);
      return;
    case "executed":
      markStarted(c, task);
      addOutput(c, server, task, message.nodeId, message.output, bytes);
      return;
    case "execution_success":
      task.verdict = "success";
      return;
    case "execution_interrupted":
      task.verdict = "interrupted";
      return;
    case "execution_error": {
      const { nodeId, nodeType, exceptionMessage } = message.failure;
      // Not an ending: the node's dependents are skipped and the rest goes on (ComfyUI execution.py).
      if (message.blocked)
        warn(c, task, "node-blocked", `Node ${nodeId} (${nodeType}) is blocked: ${exceptionMessage.trim()}`, {
          nodeId,
        });
      else task.verdict = message.failure;
      return;
    }
    case "preview":
      emit(c, task, {
        type: "preview",
        nodeId: message.nodeId ?? task.currentNode,
        image: message.image.slice().buffer,
      });
      return;
    case "text":
      emit(c, task, { type: "text", nodeId: message.nodeId, text: message.text });
  }
}

/** `progress_state` names all nodes that have started; told is what changed, and the whole run's share. */
function runProgressed(c: Coordinator, task: Task, nodes: readonly NodeProgress[]): void {
  const total = task.submission?.nodes;
  if (total) {
    let done = task.cachedNodes;
    for (const node of nodes) if (node.parentNodeId === undefined) done += shareOf(node);
    // Loops run nodes again: the bar waits rather than going back.
    task.overall = Math.max(task.overall ?? 0, Math.min(1, done / total));
  }
  for (const { nodeId, value, max } of nodes) progressed(c, task, nodeId, value, max, task.overall);
}

const shareOf = ({ state, value, max }: NodeProgress): number =>
  state === "finished" ? 1 : max > 0 ? Math.max(0, Math.min(1, value / max)) : 0;

function progressed(
  c: Coordinator,
  task: Task,
  nodeId: string,
  value: number,
  max: number,
  overall: number | undefined,
): void {
  const known = task.nodeProgress.get(nodeId);
  if (known && known.value === value && known.max === max) return;
  if (!known && task.nodeProgress.size >= 4096) return;
  task.nodeProgress.set(nodeId, { value, max });
  emit(c, task, { type: "progress", nodeId, value, max, ...present({ overall }) });
}

/** `status` is the only push that tells of a deleted prompt, and it does not say which. */
function queueChanged(c: Coordinator, server: Server, queueRemaining: number): void {
  const before = server.queueRemaining;
  if (before === queueRemaining) return;
  server.queueRemaining = queueRemaining;
  // One more prompt that waits is no sign that anything goes on.
  if (before === undefined || queueRemaining < before) server.queueFellAt = c.moment.now;
  announceServer(c, server);
  if (before === undefined || queueRemaining > before) return;
  const fall = before - queueRemaining;
  const running = server.running === undefined ? undefined : server.routes.get(server.running);
  const ours = running === undefined ? undefined : c.tasks.get(running);
  const explained = ours?.verdict !== undefined && fall === 1 && !ours.fallSeen;
  // Once: what falls after it, before `executing{null}` comes, is another one.
  if (explained) ours.fallSeen = true;
  for (const task of openTasksAt(c, server)) {
    // Its frames tell how it ends, where they come to us.
    if (task.stage.at === "running" && task.clientId === server.clientId && !task.unheard) continue;
    if (task.position !== undefined) markQueued(c, task, Math.max(0, task.position - fall));
    if (explained) continue;
    task.suspicion ??= "queue-fell";
    // The answer that is on its way may be of before.
    task.suspectedAt = c.moment.now;
  }
  if (!explained && server.open.size > 0) surveySoon(c, server, 300);
}

/** Custom messages name no task: they go where an app has asked for their type by name, else to nobody. */
function broadcast(c: Coordinator, server: Server, type: string, data: unknown, bytes: number): void {
  for (const tab of c.tabs.values())
    for (const { id, key, broadcastTypes } of tab.servers.values())
      if (key === server.key && broadcastTypes.includes(type))
        for (const portKey of tab.ports) {
          const port = c.ports.get(portKey);
          if (port) deliverMessage(c, port, { serverId: id, type, data }, bytes);
        }
}

function keepUnclaimed(
  c: Coordinator,
  server: Server,
  socket: SocketKey,
  promptId: string,
  message: ServerMessage,
  bytes: number,
): void {
  // Pictures are too large to keep, and of progress there is soon more. A text may be the only one.
  if (message.type === "preview" || message.type.startsWith("progress")) return;
  for (const [id, { since }] of server.unclaimed)
    if (c.moment.now - since > unclaimedLimit.ms) server.unclaimed.delete(id);
  let kept = server.unclaimed.get(promptId);
  if (!kept || kept.socket !== socket) {
    kept = { since: c.moment.now, socket, messages: [], bytes: 0 };
    server.unclaimed.set(promptId, kept);
  }
  kept.bytes += bytes;
  kept.messages.push(message);
  // Too much to keep whole is not kept at all: the history knows how it ended.
  if (kept.messages.length > unclaimedLimit.messages || kept.bytes > unclaimedLimit.bytes) {
    server.unclaimed.delete(promptId);
    return;
  }
  for (const id of server.unclaimed.keys()) {
    if (server.unclaimed.size <= unclaimedLimit.prompts) return;
    server.unclaimed.delete(id);
  }
}

/** The task's prompt has an owner now: what came before it had one is told, in order. */
export function claimUnclaimed(c: Coordinator, server: Server, task: Task): void {
  const kept = server.unclaimed.get(task.promptId);
  if (!kept) return;
  server.unclaimed.delete(task.promptId);
  markAccepted(c, task);
  const present = server.connection.at === "open" && server.connection.socket === kept.socket;
  if (present && kept.messages[0]?.type === "execution_start") task.witness = kept.socket;
  // What has happened to it since, no socket has told.
  if (!present) suspect(c, task);
  for (const message of kept.messages)
    tell(c, server, task, kept.socket, message as Parameters<typeof tell>[4], 0);
}
