import { deleteBody, interruptBody } from "../comfy/bodies.ts";
import type { Queue } from "../comfy/queue.ts";
import { surveySoon } from "./look-up.ts";
import { ask, log } from "./requests.ts";
import type { Coordinator, Server, Task } from "./state.ts";
import { isOnItsWay } from "./task-lifecycle.ts";

/** How long the server is given to let go of one before it is looked for again. */
const lookAgainMs = 2_000;

/**
 * ComfyUI does not deduplicate, and Chromium itself repeats a POST when a reused connection is reset before
 * any answer, unseen by `fetch`. So the queue is looked through for second items under an id of ours.
 *
 * @param askedAt when the queue was asked for
 */
export function findTwins(
  c: Coordinator,
  server: Server,
  { running, pending }: Queue,
  askedAt: number,
): void {
  const counts = new Map<string, number>();
  for (const { promptId } of [...running, ...pending]) counts.set(promptId, (counts.get(promptId) ?? 0) + 1);
  const waiting = new Set(pending.map(({ promptId }) => promptId));
  const left = new Set(server.twinned);
  server.twinned.clear();
  for (const [promptId, count] of counts) {
    const task = c.tasks.get(server.routes.get(promptId) ?? "");
    if (!task || task.registered || isOnItsWay(task)) continue;
    const over = task.stage.at === "settled";
    if (count < (over ? 1 : 2)) continue;
    // Asked before it ended, this may be the first run: whether it is shows the next time.
    if (count === 1 && task.lastNewsAt > askedAt) {
      twinAnswered(c, server);
      continue;
    }
    left.delete(task.id);
    remove(c, server, task, waiting.has(promptId));
  }
  c.twins.removed += left.size;
}

/** A known prompt begins once more. The first run's result is journalled before this one is stopped. */
export function startedAgain(c: Coordinator, server: Server, task: Task): void {
  if (task.registered) return;
  if (task.stage.at === "settled") remove(c, server, task, false);
  else count(c, server, task);
}

function count(c: Coordinator, server: Server, task: Task): void {
  if (task.twin) return;
  task.twin = true;
  c.twins.seen += 1;
  log(c, "warn", `${server.url} has prompt ${task.promptId} twice`);
}

/**
 * One delete takes one away, whichever of two. A running one is stopped only where the server itself
 * compares the id: another prompt may run by the time it reads this.
 */
function remove(c: Coordinator, server: Server, task: Task, isWaiting: boolean): void {
  count(c, server, task);
  const { abilities } = server;
  const [path, body] = isWaiting
    ? ["/queue", deleteBody([task.promptId])]
    : abilities?.cancelJob
      ? [`/api/jobs/${encodeURIComponent(task.promptId)}/cancel`, "{}"]
      : abilities?.targetedInterrupt
        ? ["/interrupt", interruptBody(task.promptId)]
        : [];
  if (path === undefined) return;
  server.twinned.add(task.id);
  ask(c, { for: "twin", server: server.key }, server.key, path, body);
}

/** Whatever was answered: the queue is asked again. */
export function twinAnswered(c: Coordinator, server: Server): void {
  server.survey.owed = true;
  surveySoon(c, server, lookAgainMs);
}
