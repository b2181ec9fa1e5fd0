import type { HistoryEntry } from "../comfy/history.ts";
import type { SocketKey } from "./facts.ts";
import { lookUpHistory } from "./look-up.ts";
import type { Coordinator, Server, Task } from "./state.ts";
import { addOutput, markAccepted, nodeFailed, resultFrom, settle, warn } from "./task-lifecycle.ts";

/**
 * `executing{null}`: the prompt is over, and its history written. On a socket unbroken since before the
 * POST the frames are the whole truth; otherwise the history is read, which cannot have missed anything.
 */
export function finishFromFrames(c: Coordinator, server: Server, task: Task, socket: SocketKey): void {
  const { verdict } = task;
  // What came before the answer of an old server is kept for a while only.
  const sawAll = task.witness === socket && task.startSeen;
  if (!sawAll || verdict === undefined || (verdict === "success" && task.outputsIncomplete)) {
    task.witness = undefined; // it has said all it will
    task.endHeard = true;
    // Where no history has it either, it is gone: it was not several servers.
    task.suspicion ??= "queue-fell";
    task.suspectedAt = c.moment.now;
    lookUpHistory(c, server, task, c.moment.now);
  } else finishAs(c, server, task, verdict);
}

type Verdict = NonNullable<Task["verdict"]>;

function finishAs(c: Coordinator, server: Server, task: Task, verdict: Verdict): void {
  if (verdict === "success") {
    settle(c, task, { type: "succeeded", result: resultFrom(server, task, task.outputs) });
  } else if (verdict === "interrupted") {
    settle(c, task, { type: "cancelled", by: task.cancel ? "owner" : "other" });
  } else {
    settle(c, task, { type: "failed", error: nodeFailed(verdict) });
  }
}

/** It is in no history any more: what its frames have said is all there is. */
export function finishAsHeard(c: Coordinator, server: Server, task: Task, verdict: Verdict): void {
  if (verdict === "success")
    warn(
      c,
      task,
      "outputs-dropped",
      "The server has forgotten this run: outputs that were not heard are missing.",
    );
  finishAs(c, server, task, verdict);
}

/** What the server keeps of a finished prompt: its outputs complete, and how it ended. */
export function finishFromHistory(c: Coordinator, server: Server, task: Task, entry: HistoryEntry): void {
  markAccepted(c, task);
  if (entry.ending === "interrupted") {
    settle(c, task, { type: "cancelled", by: task.cancel ? "owner" : "other" });
    return;
  }
  for (const [nodeId, output] of Object.entries(entry.outputs))
    if (!task.outputs.has(nodeId)) addOutput(c, server, task, nodeId, output, JSON.stringify(output).length);
  if (entry.ending === "success") {
    settle(c, task, { type: "succeeded", result: resultFrom(server, task, Object.entries(entry.outputs)) });
  } else {
    settle(c, task, { type: "failed", error: nodeFailed(entry.failure ?? untold) });
  }
}

const untold = {
  nodeId: "",
  nodeType: "",
  exceptionType: "",
  exceptionMessage: "the server's history does not say why",
  traceback: [],
  executed: [],
};
