import { readQueueRemaining } from "../comfy/queue.ts";
import type { HttpAnswer } from "./facts.ts";
import { ask, log } from "./requests.ts";
import type { Coordinator, Server } from "./state.ts";
import { setTimer } from "./timers.ts";

/** Silence after which a socket with open tasks is doubted. */
const silenceMs = 5_000;
/** Every change of the queue is sent to every registered socket at once: a difference lasts no longer. */
const differenceMs = 2_000;
const longestSilenceMs = 60_000;

/**
 * ComfyUI may unregister a socket and leave it open: when another one of the same client id ends, also long
 * after a network has broken (server.py, `websocket_handler`). Nothing but its silence tells.
 */
export function watchHearing(c: Coordinator, server: Server): void {
  if (server.connection.at !== "open" || server.open.size === 0) return;
  const name = `hearing ${server.key}`;
  if (!c.timers.has(name)) hearAgainAt(c, server, c.moment.now + patience(server));
}

const patience = ({ hearing }: Server): number =>
  Math.min(longestSilenceMs, silenceMs * 2 ** Math.min(hearing.rotations, 5));

function hearAgainAt(c: Coordinator, server: Server, at: number): void {
  setTimer(c, { at, timer: "hearing", server: server.key });
}

export function heard(c: Coordinator, server: Server): void {
  server.hearing.lastAt = c.moment.now;
  server.hearing.differsSince = undefined;
}

export function doubtHearing(c: Coordinator, server: Server): void {
  const { hearing, connection } = server;
  if (connection.at !== "open" || server.open.size === 0 || hearing.probe !== undefined) return;
  const silentUntil = hearing.lastAt + patience(server);
  if (hearing.differsSince === undefined && c.moment.now < silentUntil) hearAgainAt(c, server, silentUntil);
  else probeHearing(c, server);
}

export function probeHearing(c: Coordinator, server: Server): void {
  server.hearing.probe ??= ask(c, { for: "hearing", server: server.key }, server.key, "/prompt");
}

/** Every frame since the question makes the answer worthless: it may be older than the frame. */
export function hearingAnswered(c: Coordinator, server: Server, answer: HttpAnswer): "deaf" | "hears" {
  const { hearing } = server;
  hearing.probe = undefined;
  if (server.connection.at !== "open" || server.open.size === 0) return "hears";
  const count = "status" in answer && answer.status === 200 ? readQueueRemaining(answer.text) : undefined;
  if (count === undefined || count === server.queueRemaining) {
    hearing.differsSince = undefined;
    if (count !== undefined) hearing.rotations = 0;
    hearAgainAt(c, server, c.moment.now + patience(server));
    return "hears";
  }
  hearing.differsSince ??= c.moment.now;
  if (c.moment.now - hearing.differsSince < differenceMs) {
    hearAgainAt(c, server, c.moment.now + differenceMs);
    return "hears";
  }
  log(
    c,
    "warn",
    `${server.url} counts ${count} prompts, and its socket has heard of ${server.queueRemaining}`,
  );
  hearing.differsSince = undefined;
  hearing.rotations += 1;
  return "deaf";
}
