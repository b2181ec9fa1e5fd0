import type { Coordinator, Timer } from "./state.ts";

/** Sets or moves the timer of that kind, for that task or server. */
export function setTimer(c: Coordinator, timer: Timer): void {
  const of = "task" in timer ? timer.task : "server" in timer ? timer.server : "";
  c.timers.set(`${timer.timer} ${of}`, timer);
}

export function clearTimer(c: Coordinator, name: string): void {
  c.timers.delete(name);
}

/** Takes the timers that are due, oldest first. */
export function takeDueTimers(c: Coordinator): Timer[] {
  const due = [...c.timers].filter(([, timer]) => timer.at <= c.moment.now);
  for (const [name] of due) c.timers.delete(name);
  return due.map(([, timer]) => timer).sort((a, b) => a.at - b.at);
}

/** Tells the runtime when to wake us, where that has changed. */
export function orderWakeUp(c: Coordinator): void {
  let next: number | undefined;
  for (const { at } of c.timers.values()) if (next === undefined || at < next) next = at;
  if (next === c.wakeAt) return;
  c.wakeAt = next;
  c.effects.push({ do: "wake", at: next });
}
