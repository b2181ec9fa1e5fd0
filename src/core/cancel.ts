import { encodePart } from "../comfy/addresses.ts";
import { deleteBody, interruptBody } from "../comfy/bodies.ts";
import { readCancelled } from "../comfy/jobs.ts";
import { refused } from "./access.ts";
import { answer } from "./delivery.ts";
import type { CallKey, HttpAnswer } from "./facts.ts";
import { surveySoon } from "./look-up.ts";
import { ask } from "./requests.ts";
import { serverOf } from "./servers.ts";
import type { Cancel, Coordinator, Purpose, Server, Task } from "./state.ts";
import { isOver, settle, warn, writeJournal } from "./task-lifecycle.ts";
import { setTimer } from "./timers.ts";

const answerAfterMs = 30_000;
const againAfterMs = 2_000;

/** Stops the owner's own task and nothing else. The intent stays, also after the call has answered `false`. */
export function cancelTask(c: Coordinator, task: Task, call: CallKey): void {
  if (task.stage.at === "settled") {
    // The call may be repeated: the host that did it died before it could say so.
    answer(c, call, {
      ok: task.record.items().some((event) => event.type === "cancelled" && event.by === "owner"),
    });
    return;
  }
  if (task.cancel?.hopeless) {
    answer(c, call, { ok: false });
    return;
  }
  // Who asks again waits no longer than who has asked first.
  if (!task.cancel?.calls.length) answerInTime(c, task);
  stopTask(c, task, call);
}

export const answerInTime = (c: Coordinator, { id }: Task): void =>
  setTimer(c, { at: c.moment.now + answerAfterMs, timer: "cancel-deadline", task: id });

/** @param call who waits for it, if anybody does */
export function stopTask(c: Coordinator, task: Task, call?: CallKey): void {
  task.cancel ??= newCancel("new");
  if (call !== undefined) task.cancel.calls.push(call);
  // Where a server may have it that is not named yet, whoever asks waits for that as for any other answer.
  const isSomewhere = task.unmet && (task.adopted || task.registered) && call !== undefined;
  if (task.stage.at === "waiting" && !isSomewhere) settle(c, task, { type: "cancelled", by: "owner" });
  else if (task.stage.at !== "journalling" && !isOver(task)) noteIntent(c, task, task.cancel);
}

export const newCancel = (intent: Cancel["intent"]): Cancel => ({
  calls: [],
  intent,
  request: undefined,
  confirmedAt: undefined,
  hopeless: false,
});

/** A prompt that vanishes from then on was cancelled by its owner, not lost. */
function noteIntent(c: Coordinator, task: Task, cancel: Cancel): void {
  if (cancel.intent !== "new") return;
  cancel.intent = "written";
  writeJournal(c, task, { for: "cancel", task: task.id });
}

/** A task on its way is stopped when the journal has the intent, and the server is known to have the task. */
export function pursueCancel(c: Coordinator, task: Task): void {
  const server = serverOf(c, task);
  const { cancel } = task;
  if (cancel && cancel.intent !== "journalled" && !isOver(task)) {
    noteIntent(c, task, cancel);
    return;
  }
  if (!cancel || !server || isOver(task) || cancel.request !== undefined || cancel.hopeless) return;
  const { at } = task.stage;
  if (at !== "queued" && at !== "running" && at !== "unsure") return;
  setTimer(c, {
    at: c.moment.now + againAfterMs,
    timer: "cancel-again",
    task: task.id,
  });
  // What the server may not know yet is not to be stopped there; a frame or a look-up will tell.
  if (at === "unsure") return;
  if (!server.abilities) {
    ask(c, { for: "version", server: server.key }, server.key, "/system_stats");
  } else if (server.abilities.cancelJob) {
    const path = `/api/jobs/${encodePart(task.promptId)}/cancel`;
    cancel.request = ask(c, { for: "cancel", task: task.id, step: "job" }, server.key, path, "{}");
  } else {
    const body = deleteBody([task.promptId]);
    cancel.request = ask(c, { for: "cancel", task: task.id, step: "delete" }, server.key, "/queue", body);
  }
}

export function cancelAnswered(
  c: Coordinator,
  task: Task,
  { step }: Extract<Purpose, { for: "cancel" }>,
  reply: HttpAnswer,
): void {
  const server = serverOf(c, task);
  const { cancel } = task;
  if (!cancel || !server || isOver(task)) return;
  cancel.request = undefined;
  if (!("status" in reply) || reply.status !== 200) {
    // Once more, by the timer.
    if ("status" in reply && reply.status === 401) refused(c, server, 401);
    return;
  }
  if (step === "job" && readCancelled(reply.text)) cancel.confirmedAt ??= c.moment.now;
  if (step === "delete" && server.abilities?.targetedInterrupt) {
    // It may have begun to run meanwhile. The server compares the id before it interrupts.
    const body = interruptBody(task.promptId);
    cancel.request = ask(
      c,
      { for: "cancel", task: task.id, step: "interrupt" },
      server.key,
      "/interrupt",
      body,
    );
    return;
  }
  if (step === "delete" && task.stage.at === "running") giveUp(c, server, task);
  surveySoon(c, server, 0);
}

/** Below 0.3.57 every interrupt hits whatever runs, so a running prompt is left to end (ComfyUI server.py). */
function giveUp(c: Coordinator, server: Server, task: Task): void {
  if (!task.cancel) return;
  task.cancel.hopeless = true;
  warn(
    c,
    task,
    "cancel-unsupported",
    `ComfyUI ${server.version ?? ""} cannot stop a running prompt without risk for others; it runs to its end.`,
  );
  cancelOverdue(c, task);
}

/** The server has not let go in time: `false`, but the intent stays. */
export function cancelOverdue(c: Coordinator, task: Task): void {
  for (const call of task.cancel?.calls.splice(0) ?? []) answer(c, call, { ok: false });
  if (task.unmet && task.stage.at === "waiting") settle(c, task, { type: "cancelled", by: "owner" });
}
