import { encodePart } from "../comfy/addresses.ts";
import { ask } from "./requests.ts";
import type { Coordinator, Server, Task } from "./state.ts";
import { isOver } from "./task-lifecycle.ts";
import { setTimer } from "./timers.ts";

/** Two surveys are never closer, whatever asks for them: `/queue` carries every graph. */
const closestMs = 500;
/** Histories read at once at one server: ComfyUI answers from its event loop, between the frames of what runs. */
const atOnce = 2;

/** Asks for the server's queue in `delayMs`, or earlier where somebody else wants it earlier. */
export function surveySoon(c: Coordinator, server: Server, delayMs: number): void {
  if (server.open.size === 0 && !server.survey.owed) return;
  const wanted = c.moment.now + delayMs;
  if (server.survey.request !== undefined) {
    server.survey.nextAt = Math.min(server.survey.nextAt, wanted);
    return;
  }
  const name = `survey ${server.key}`;
  const at = Math.max(wanted, server.survey.lastAt + closestMs);
  const known = c.timers.get(name);
  if (!known || known.at > at) setTimer(c, { at, timer: "survey", server: server.key });
}

/** Asks for the whole queue: one answer serves all tasks there, and tells their positions. */
export function startSurvey(c: Coordinator, server: Server): void {
  if (server.survey.request !== undefined || (server.open.size === 0 && !server.survey.owed)) return;
  server.survey.owed = false;
  server.survey.lastAt = c.moment.now;
  server.survey.nextAt = Number.POSITIVE_INFINITY;
  server.survey.request = ask(
    c,
    { for: "survey", server: server.key, startedAt: c.moment.now },
    server.key,
    "/queue",
  );
}

/** @param askedAt when the queue was asked, in which it was not */
export function lookUpHistory(c: Coordinator, server: Server, task: Task, askedAt: number): void {
  server.survey.waiting.set(task.id, askedAt);
  startLookUps(c, server);
}

export function startLookUps(c: Coordinator, server: Server): void {
  for (const [taskId, askedAt] of server.survey.waiting) {
    if (server.survey.active >= atOnce) return;
    server.survey.waiting.delete(taskId);
    const task = c.tasks.get(taskId);
    if (!task || isOver(task)) continue;
    server.survey.active += 1;
    const { promptId } = task;
    ask(
      c,
      { for: "history", server: server.key, task: taskId, promptId, askedAt },
      server.key,
      `/history/${encodePart(promptId)}`,
    );
  }
}
