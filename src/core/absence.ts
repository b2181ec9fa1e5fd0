import { stopTask } from "./cancel.ts";
import { reachServers, releaseUnwanted } from "./connection.ts";
import type { JournalEntry } from "./journal.ts";
import { restore } from "./recovery.ts";
import type { Coordinator, Tab, Task } from "./state.ts";
import { newTab } from "./tabs.ts";
import { forgetTask, isOver, settledForMs, settledLimit, writeJournal } from "./task-lifecycle.ts";
import { clearTimer, setTimer } from "./timers.ts";

/** A live host cancels in time; one that is this late is dead. */
const overdueMs = 10_000;
const lookEveryMs = 60_000;
/** Whoever is this late waits for a server that has gone for good. */
const forgottenMs = 7 * 24 * 60 * 60_000;
const expireEveryMs = 60 * 60_000;

/** The tab's last page is gone. What it wanted for that case begins to count. */
export function tabLeft(c: Coordinator, tab: Tab): void {
  for (const task of tasksOf(c, tab)) {
    if (isOver(task) || task.cancelAfterMs === undefined || task.cancelAt !== undefined) continue;
    task.cancelAt = c.moment.wall + task.cancelAfterMs;
    setTimer(c, {
      at: c.moment.now + task.cancelAfterMs,
      timer: "abandoned",
      task: task.id,
    });
    writeJournal(c, task, { for: "progress", task: task.id });
  }
}

export function tabReturned(c: Coordinator, tab: Tab): void {
  for (const task of tasksOf(c, tab)) {
    if (task.cancelAt === undefined || isOver(task)) continue;
    task.cancelAt = undefined;
    clearTimer(c, `abandoned ${task.id}`);
    writeJournal(c, task, { for: "progress", task: task.id });
  }
}

/** Its tab has not come back here. It may live at another host, where this one was left for hung. */
export function abandoned(c: Coordinator, { id, tabId, cancelAt }: Task): void {
  if (cancelAt !== undefined) c.effects.push({ do: "probe-tab", tabId, task: id });
}

export function tabProbed(c: Coordinator, task: Task, lives: boolean): void {
  const tab = c.tabs.get(task.tabId);
  if (task.cancelAt === undefined || isOver(task) || (tab && tab.ports.size + tab.claiming > 0)) return;
  if (!lives) {
    stopTask(c, task);
    return;
  }
  task.cancelAt = undefined;
  if (tab) tabLeft(c, tab);
}

/** Tasks whose page did not come back and whose host died before it could cancel them. */
export function lookForOverdue(c: Coordinator): void {
  c.lastKey += 1;
  c.claims.set(c.lastKey, { for: "overdue" });
  c.effects.push({ do: "claim-overdue", claim: c.lastKey, before: c.moment.wall - overdueMs });
  setTimer(c, { at: c.moment.now + lookEveryMs, timer: "overdue" });
}

export function overdueClaimed(c: Coordinator, entries: readonly JournalEntry[]): void {
  for (const entry of entries) {
    const { tabId, tabSecret, cancelAt = Number.POSITIVE_INFINITY } = entry;
    const tab = c.tabs.get(tabId) ?? newTab(tabId, tabSecret);
    if (tab.secret !== tabSecret) continue;
    c.tabs.set(tabId, tab);
    restore(c, tab, entry);
    const task = c.tasks.get(entry.taskId);
    // Its page may be back by now.
    if (!task || tab.ports.size > 0) continue;
    if (cancelAt < c.moment.wall - forgottenMs) {
      forgetTask(c, task);
      continue;
    }
    task.unmet = task.stage.at === "waiting";
    if (task.unmet) task.candidates = [];
    abandoned(c, task);
  }
  releaseUnwanted(c);
  reachServers(c);
}

/** Ended tasks are kept for a day, also in the journal, for a tab that is opened again. */
export function expire(c: Coordinator): void {
  const before = c.moment.wall - settledForMs;
  for (const task of [...c.tasks.values()])
    if (task.stage.at === "settled" && task.stage.atWall < before) forgetTask(c, task);
  // Nobody is to come back for anything.
  for (const tab of c.tabs.values())
    if (tab.ports.size + tab.claiming === 0 && tasksOf(c, tab).length === 0) c.tabs.delete(tab.tabId);
  releaseUnwanted(c);
  c.effects.push({ do: "expire-journal", before, ...settledLimit });
  setTimer(c, { at: c.moment.now + expireEveryMs, timer: "expire" });
}

export const tasksOf = (c: Coordinator, { tabId }: Tab): Task[] =>
  [...c.tasks.values()].filter((task) => task.tabId === tabId);
