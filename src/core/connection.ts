import { announcement } from "../comfy/announcement.ts";
import { abilities } from "../comfy/versions.ts";
import { accessAnswered, askVersion, investigate, lookAgain } from "./access.ts";
import { pursueCancel } from "./cancel.ts";
import { isRefusal } from "./diagnosis.ts";
import type { HttpAnswer, SocketKey } from "./facts.ts";
import { watchHearing } from "./hearing.ts";
import { surveySoon } from "./look-up.ts";
import { log } from "./requests.ts";
import { announceServer, isWanted, mintClientId, openTasksAt } from "./servers.ts";
import type { Coordinator, Server, Task } from "./state.ts";
import { emit } from "./task-lifecycle.ts";
import { clearTimer, setTimer } from "./timers.ts";

/** A server that says nothing on a fresh socket for so long is given up: half-open sockets never close. */
const handshakeMs = 15_000;
/** A connection counts as good after this; only then does the next loss start from the shortest delay. */
const provenMs = 5_000;
const longestDelayMs = 30_000;

/** Connects where that is wanted and not under way. */
export function connect(c: Coordinator, server: Server): void {
  if (server.connection.at !== "idle" && server.connection.at !== "waiting") return;
  openSocket(c, server);
}

/**
 * Connects to every server that is wanted, the first time perhaps under the client id of a host before us:
 * then we hear its prompts' messages. Never while that host may live, for ComfyUI keeps one socket an id.
 */
export function reachServers(c: Coordinator): void {
  for (const server of c.servers.values()) {
    if (server.connection.at !== "idle" || server.inheriting !== undefined || !isWanted(c, server)) continue;
    const former = server.socketsOpened === 0 ? formerClientId(c, server) : undefined;
    if (former === undefined) {
      connect(c, server);
      continue;
    }
    server.inheriting = former;
    const epoch = former.slice(0, former.lastIndexOf("-"));
    c.effects.push({ do: "probe-host", epoch, server: server.key });
  }
}

/** Once: our own socket under it, that we have let go of, may be open at the server for some time yet. */
function formerClientId(c: Coordinator, server: Server): string | undefined {
  const ids = openTasksAt(c, server).map(({ clientId }) => clientId);
  return ids.find((id) => id?.includes("-") && !c.inherited.has(id));
}

export function hostProbed(c: Coordinator, server: Server, dead: boolean): void {
  const { inheriting } = server;
  server.inheriting = undefined;
  if (server.connection.at !== "idle") return;
  if (dead && inheriting !== undefined) {
    server.clientId = inheriting;
    c.inherited.add(inheriting);
  }
  connect(c, server);
}

function openSocket(c: Coordinator, server: Server): void {
  clearTimer(c, `connect ${server.key}`);
  c.lastKey += 1;
  const socket = c.lastKey;
  c.sockets.set(socket, server.key);
  server.socketsOpened += 1;
  server.connection = { at: "connecting", socket, attempt: server.attempt };
  setTimer(c, {
    at: c.moment.now + handshakeMs,
    timer: "handshake",
    server: server.key,
    socket,
  });
  c.effects.push({ do: "open-socket", socket, server: server.key, clientId: server.clientId });
  announceServer(c, server);
}

/** The flags go first: ComfyUI honours them only as the first frame of a socket (server.py). */
export function socketOpened(c: Coordinator, socket: SocketKey): void {
  if (c.sockets.has(socket)) c.effects.push({ do: "send-text", socket, text: announcement });
}

/** The server has spoken: it has registered this socket under our client id. */
export function socketProved(c: Coordinator, server: Server, socket: SocketKey): void {
  if (server.connection.at !== "connecting") return;
  clearTimer(c, `handshake ${server.key}`);
  server.connection = { at: "open", socket, since: c.moment.now };
  if (!server.barred) server.error = undefined;
  askVersion(c, server);
  announceServer(c, server);
  surveySoon(c, server, 0);
  watchHearing(c, server);
  c.sendWaiting = true;
}

export function socketClosed(c: Coordinator, socket: SocketKey): void {
  const key = c.sockets.get(socket);
  const server = key && c.servers.get(key);
  c.sockets.delete(socket);
  if (server) connectionLost(c, server);
}

/** The socket was opened, or opens, without a word from the server. */
export function handshakeTimedOut(c: Coordinator, server: Server, socket: SocketKey): void {
  if (server.connection.at !== "connecting" || server.connection.socket !== socket) return;
  c.sockets.delete(socket);
  c.effects.push({ do: "close-socket", socket });
  // A half-open socket may take a minute to close; only a new id may be used before it has.
  renewClientId(c, server);
  connectionLost(c, server);
}

function connectionLost(c: Coordinator, server: Server): void {
  const { connection } = server;
  if (connection.at !== "connecting" && connection.at !== "open") return;
  clearTimer(c, `handshake ${server.key}`);
  server.running = undefined;
  server.queueRemaining = undefined;
  const proven = connection.at === "open" && c.moment.now - connection.since >= provenMs;
  server.attempt = proven ? 0 : server.attempt + 1;

  const open = openTasksAt(c, server);
  for (const task of open) {
    if (connection.at === "open") suspect(c, task);
    if (connection.at === "open" && task.accepted) emit(c, task, { type: "gap", reason: "reconnecting" });
  }
  // Under the old id we may hear the rest of what runs; with nothing open a fresh one cannot be deaf.
  if (open.length === 0) renewClientId(c, server);

  if (!isWanted(c, server)) {
    server.connection = { at: "idle" };
  } else {
    const until = c.moment.now + reconnectDelay(server.attempt, c.moment.random);
    server.connection = { at: "waiting", attempt: server.attempt, until };
    setTimer(c, { at: until, timer: "connect", server: server.key });
    if (connection.at === "connecting") investigate(c, server);
  }
  announceServer(c, server);
}

/** Until a look-up that is asked from now on finds it. */
export function suspect(c: Coordinator, task: Task): void {
  task.suspicion = "socket-broke";
  task.suspectedAt = c.moment.now;
}

/** At once after the first loss, then doubling from half a second, with jitter so that tabs do not march in step. */
export function reconnectDelay(attempt: number, random: number): number {
  if (attempt <= 0) return Math.floor(random * 100);
  const full = Math.min(longestDelayMs, 500 * 2 ** Math.min(attempt - 1, 10));
  return Math.floor(full / 2 + (random * full) / 2);
}

/**
 * The socket hears nothing any more: another one under a new id, at once. Prompts under the old id are
 * followed by look-ups.
 */
export function replaceSocket(c: Coordinator, server: Server): void {
  if (server.connection.at !== "open") return;
  const { socket } = server.connection;
  c.sockets.delete(socket);
  c.effects.push({ do: "close-socket", socket });
  renewClientId(c, server);
  for (const task of openTasksAt(c, server)) {
    suspect(c, task);
    if (task.accepted) emit(c, task, { type: "gap", reason: "reconnecting" });
  }
  server.running = undefined;
  server.queueRemaining = undefined;
  server.attempt = 0;
  server.connection = { at: "waiting", attempt: 0, until: c.moment.now };
  openSocket(c, server);
}

/** Lets go of a server that no tab names and no open task needs. */
export function releaseIfUnwanted(c: Coordinator, server: Server): void {
  if (isWanted(c, server)) return;
  if (server.connection.at === "connecting" || server.connection.at === "open") {
    c.sockets.delete(server.connection.socket);
    c.effects.push({ do: "close-socket", socket: server.connection.socket });
    // The server sees the old socket end some time later, and would then deafen a new one of the same id.
    renewClientId(c, server);
  }
  for (const name of ["connect", "barred", "handshake", "survey", "hearing"])
    clearTimer(c, `${name} ${server.key}`);
  server.connection = { at: "idle" };
  server.running = undefined;
  if (server.routes.size === 0) c.servers.delete(server.key);
}

export function releaseUnwanted(c: Coordinator): void {
  for (const server of [...c.servers.values()]) releaseIfUnwanted(c, server);
}

/** The network is back: nobody waits out a delay. */
export function wentOnline(c: Coordinator): void {
  for (const server of c.servers.values()) {
    if (server.connection.at === "waiting") connect(c, server);
    else surveySoon(c, server, 0);
  }
}

function renewClientId(c: Coordinator, server: Server): void {
  server.clientId = mintClientId(c);
}

export function versionAnswered(c: Coordinator, server: Server, answer: HttpAnswer): void {
  const version = accessAnswered(c, server, answer);
  if (version === undefined) {
    log(c, "debug", `${server.url} does not tell its version`);
    // Whoever answers without one is treated like the oldest: nothing that could hit others is sent there.
    if ("status" in answer && !isRefusal(answer.status)) server.abilities ??= abilities("0.0.0");
    // It may have been a proxy's answer, or none.
    if (server.connection.at === "open" && server.version === undefined) lookAgain(c, server);
    return;
  }
  if (server.version === version) return;
  server.version = version;
  server.abilities = abilities(version);
  announceServer(c, server);
  for (const task of openTasksAt(c, server)) {
    if (task.cancel) task.cancel.hopeless = false;
    pursueCancel(c, task);
  }
}
