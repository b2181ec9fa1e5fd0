import { compareVersions, oldestVersion, readVersion } from "../comfy/versions.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import { diagnose, isRefusal, unauthorized } from "./diagnosis.ts";
import type { DeclaredServer, HttpAnswer } from "./facts.ts";
import { ask } from "./requests.ts";
import { announceServer, isSought, isWanted, serverFor } from "./servers.ts";
import type { Coordinator, Purpose, Server, Tab } from "./state.ts";
import { clearTimer, setTimer } from "./timers.ts";

/** A server that cannot be used is looked at again so often: its administrator does not tell us. */
const againMs = 30_000;

export const lookAgain = (c: Coordinator, server: Server, inMs = againMs): void =>
  setTimer(c, { at: c.moment.now + inMs, timer: "barred", server: server.key });

/** Nothing is sent there until it can be used; what waits is told why. */
function bar(c: Coordinator, server: Server, error: WireError, inMs = againMs): void {
  // A late answer of one that was let go of.
  if (isWanted(c, server)) lookAgain(c, server, inMs);
  if (server.barred && server.error?.code === error.code) return;
  server.barred = true;
  server.error = error;
  c.sendWaiting = true;
  announceServer(c, server);
}

function unbar(c: Coordinator, server: Server): void {
  clearTimer(c, `barred ${server.key}`);
  if (!server.barred) return;
  server.barred = false;
  server.error = undefined;
  c.sendWaiting = true;
  announceServer(c, server);
}

/** A proxy that refuses one request and lets others pass has something against that one; so it is asked at once. */
export function refused(c: Coordinator, server: Server, status: number): void {
  bar(c, server, unauthorized(server.url, status), status === 401 ? againMs : 0);
}

/** Its version, and with that whether it can be used: the first that is asked over every new socket. */
export function askVersion(c: Coordinator, server: Server): void {
  ask(c, { for: "version", server: server.key }, server.key, "/system_stats");
}

/** @returns the version, where the server told it */
export function accessAnswered(c: Coordinator, server: Server, answer: HttpAnswer): string | undefined {
  if (!("status" in answer)) {
    if (server.connection.at === "open") investigate(c, server);
    return undefined;
  }
  if (isRefusal(answer.status)) {
    refused(c, server, 401);
    return undefined;
  }
  const version = answer.status === 200 ? readVersion(answer.text) : undefined;
  if (version !== undefined && compareVersions(version, oldestVersion) < 0) {
    const message = `ComfyUI ${version} at ${server.url} is too old: update it to ${oldestVersion} or newer.`;
    bar(c, server, wireError("server-too-old", message, { version }));
  } else unbar(c, server);
  return version;
}

/**
 * Why a server is of no use: neither `fetch` nor a WebSocket says it. Whether anybody answers shows in a
 * request whose answer nobody may read; whether this page may, in one that it wants to.
 */
export function investigate(c: Coordinator, server: Server): void {
  ask(c, { for: "diagnosis", server: server.key, answers: false }, server.key, "/prompt", undefined, true);
}

export function diagnosisAnswered(
  c: Coordinator,
  server: Server,
  { answers }: Extract<Purpose, { for: "diagnosis" }>,
  answer: HttpAnswer,
): void {
  const isOpen = server.connection.at === "open";
  if (!answers && "status" in answer) {
    ask(c, { for: "diagnosis", server: server.key, answers: true }, server.key, "/prompt");
    return;
  }
  const finding = diagnose(server.url, answer, answers ? (isOpen ? "socket" : "answers") : undefined);
  if (isOpen) {
    // Lost in the network: it shows by itself when that is back.
    if (finding && answers) bar(c, server, finding);
    else if (server.barred) lookAgain(c, server);
    return;
  }
  server.error =
    finding ??
    wireError(
      "server-unreachable",
      `${server.url} answers, but refuses the WebSocket: a proxy has to pass on upgrades, and to want no header there.`,
      { url: server.url },
    );
  announceServer(c, server);
  c.sendWaiting = true;
}

/** The tab has other credentials: those of the same account go on with its tasks, another's with the next ones. */
export function authRenewed(c: Coordinator, tab: Tab, renewed: DeclaredServer): Server {
  const before = tab.servers.get(renewed.id);
  tab.servers.set(renewed.id, renewed);
  for (const task of c.tasks.values()) {
    if (task.tabId !== tab.tabId) continue;
    task.refusals.clear();
    // It may have been sent under the former account: that is asked, too.
    if (
      isSought(task) &&
      task.candidates.some(({ id }) => id === renewed.id) &&
      task.candidates.every(({ key }) => key !== renewed.key)
    )
      task.candidates = [...task.candidates, renewed];
    if (task.serverKey !== undefined) continue;
    task.candidates = task.candidates.map((one) =>
      one.id === renewed.id && one.key === before?.key ? renewed : one,
    );
  }
  // Another tab may have that account's socket open already.
  c.sendWaiting = true;
  const server = serverFor(c, renewed);
  server.error = undefined;
  unbar(c, server);
  if (server.connection.at === "open") askVersion(c, server);
  announceServer(c, server);
  return server;
}
