import type { ServerKey } from "../protocol/ids.ts";
import type { PortTaskEvent } from "../protocol/tasks.ts";
import type { ComfyServer, PromptEntry } from "../simulator/index.ts";
import type { Identity } from "./page.ts";
import { type Kind, markOfPicture, shownBy } from "./workflows.ts";

/** With these codes a task has never reached a server, or been refused there. */
const unsent: readonly string[] = ["host-lost", "unauthorized"];

/** What is known of one task from outside: what its tab asked for, and what it was told. */
export interface Entry {
  readonly taskId: string;
  readonly promptId: string;
  /** In everything that this task's nodes say. */
  readonly mark: number;
  readonly kind: Kind;
  readonly tabId: string;
  readonly cancelAfterMs: number | undefined;
  /** The one address where it may run. */
  readonly site: string | undefined;
  readonly submittedAt: number;
  /** Whether its tab has been promised that the task exists. */
  promised: boolean;
  /** Refused with this code. */
  refused: string | undefined;
  cancelAsked: boolean;
  /** `cancel()` said that it stopped because of this. */
  stopped: boolean;
  dismissed: boolean;
  /** Under which id a server runs it, by the word of its host. */
  acceptedAs: string | undefined;
  /** It was told that the server has forgotten the run, with outputs that its host had not heard. */
  outputsDropped: boolean;
  told: PortTaskEvent | undefined;
  /** How often an ending was heard, in all page instances. */
  tellings: number;
  /** Its app has sent it by itself. */
  readonly registered?: true;
}

/** What all tabs have asked for and heard, compared with what the servers did. */
export interface Book {
  readonly entries: Map<string, Entry>;
  /** Of the next one, also if it comes to be none. */
  nextMark(): number;
  runs(promptId: string): PromptEntry[];
  /** The tab's app has named this server, as this account. */
  named(tabId: string, server: ServerKey): void;
  hasNamed(tabId: string, server: ServerKey): boolean;
  /** The tab has a host that knows it, until it has left. */
  came(tabId: string): void;
  left(tabId: string): void;
  /** This page says hello as its tab: all that a host can know of the tab besides the journal is what it has heard. */
  spokenFor(identity: Identity): void;
  /** Prompts that somebody else has deleted or stopped. */
  readonly meddled: Set<string>;
  /** Compares what a tab hears with whose it is. @throws Error */
  heard(tabId: string, event: PortTaskEvent): void;
}

/**
 * @param isExcused whether what a host cannot know may be told wrongly
 * @param isMortal whether an ending that has been told may be forgotten with a host, and told once more
 * @param namesLater whether pages name some servers only after a while
 */
export function createBook(
  servers: readonly ComfyServer[],
  now: () => number,
  isExcused: () => boolean,
  isMortal: () => boolean,
  namesLater: boolean,
): Book {
  const entries = new Map<string, Entry>();
  let marks = 0;
  const meddled = new Set<string>();
  const named = new Map<string, Set<ServerKey>>();
  /** By the id that was asked for: those that old servers have given, under which it may be sent again. */
  const given = new Map<string, Set<string>>();
  /** By tab: since when it is away, and its absences until now. */
  const awaySince = new Map<string, number>();
  const absences = new Map<string, { readonly until: number; readonly ms: number }[]>();

  /** Whether its page was away for as long as it said, at some time since it was submitted. */
  function wasAway({ tabId, submittedAt, cancelAfterMs = Number.POSITIVE_INFINITY }: Entry): boolean {
    const since = awaySince.get(tabId);
    const all = [
      ...(absences.get(tabId) ?? []),
      ...(since === undefined ? [] : [{ until: now(), ms: now() - since }]),
    ];
    return all.some(({ until, ms }) => until > submittedAt && ms >= cancelAfterMs);
  }

  function runs(promptId: string): PromptEntry[] {
    const found: PromptEntry[] = [];
    const ids = new Set([promptId, ...(given.get(promptId) ?? [])]);
    for (const server of servers)
      for (const entry of server.log.prompts)
        if (ids.has(entry.promptId) || ids.has(entry.askedId ?? "")) found.push(entry);
    return found;
  }

  /** Whether some server could still say how it ended. */
  function isOnRecord(promptId: string): boolean {
    const ids = new Set([promptId, ...runs(promptId).map((run) => run.promptId)]);
    return servers.some((server) => {
      server.advanceTo(now());
      if (!server.isUp) return false;
      return [...ids].some((id) => {
        const { body } = server.request("GET", `/history/${id}`);
        return typeof body === "string" && body.includes(id);
      });
    });
  }

  function ended(entry: Entry, event: PortTaskEvent): void {
    entry.tellings += 1;
    const { told, promptId } = entry;
    check(
      // A copy of the tab from before it was dismissed remembers it: to its host it is a new one.
      told === undefined || told.type === event.type || entry.dismissed || isMortal() || isExcused(),
      "G2",
      `${entry.taskId} was told ${told?.type}, and now ${event.type}`,
    );
    if (told) return;
    entry.told = event;
    const all = runs(promptId);
    // Below 0.3.45 a server runs it under an id of its own, which only an answer tells.
    const isUnknown =
      all.length > 0 &&
      // Neither does a tab that crashed before it noted that id, where its host's journal was in memory.
      (!all.some((run) => run.promptId === (entry.acceptedAs ?? promptId)) ||
        (isMortal() && !all.some((run) => run.promptId === promptId)));
    const isOwn = all.length === 1 && !isExcused() && !isUnknown;
    const isAlive = all.some((run) => run.ending === undefined && run.removed === undefined);
    const did = (ending: PromptEntry["ending"]) => all.some((run) => run.ending === ending);
    switch (event.type) {
      case "succeeded":
        check(did("success"), "G2", `${entry.taskId} succeeded only in the words of the host`);
        for (const nodeId of shownBy[entry.kind]) {
          const output = event.result.outputs[nodeId];
          if (output || !entry.outputsDropped) checkMark(entry, output);
        }
        return;
      case "failed":
        if (event.error.code === "node-failed")
          check(did("error"), "G2", `${entry.taskId} failed only in the words of the host`);
        check(
          event.error.code !== "host-lost" || !entry.registered,
          "G2",
          `${entry.taskId} was sent by its app, and is told to have reached no server`,
        );
        // Only its page knew of it, and has not named the server yet where it is.
        if (unsent.includes(event.error.code) && !isExcused() && !isUnknown && !(namesLater && isMortal()))
          check(
            !isAlive && !isOnRecord(promptId),
            "G2",
            `${entry.taskId} never reached a server, and is there`,
          );
        return;
      case "cancelled":
        if (event.by === "owner")
          check(
            // A journal that lives again has not heard that the tab came back.
            entry.cancelAsked || wasAway(entry) || (entry.cancelAfterMs !== undefined && isMortal()),
            "G2",
            `nobody has cancelled ${entry.taskId}, and its tab was not away for long`,
          );
        // A journal that lives again says what was before it failed: not that the prompt has been sent since.
        if (isOwn && !isMortal()) {
          check(!isAlive, "G2", `${entry.taskId} is cancelled and goes on`);
          check(
            !(did("success") || did("error")) || !isOnRecord(promptId),
            "G2",
            `${entry.taskId} is cancelled and has ended by itself`,
          );
          check(
            event.by === "owner" || meddled.has(all[0]!.promptId),
            "G2",
            `${entry.taskId} was cancelled by its owner, and is told by another`,
          );
        }
        return;
      case "lost":
        if (!isOwn) return;
        check(
          !all.some(({ removed }) => removed === "deleted" || removed === "cancelled") ||
            meddled.has(all[0]!.promptId) ||
            isMortal(),
          "G2",
          `${entry.taskId} was cancelled by its owner, and is told lost`,
        );
        check(!isAlive, "G2", `${entry.taskId} is lost and goes on`);
        check(!isOnRecord(promptId), "G2", `${entry.taskId} is lost, and in the history`);
    }
  }

  return {
    entries,
    nextMark: () => ++marks,
    meddled,
    runs,
    named(tabId, server) {
      named.set(tabId, (named.get(tabId) ?? new Set()).add(server));
    },
    hasNamed: (tabId, server) => named.get(tabId)?.has(server) === true,
    came(tabId) {
      const since = awaySince.get(tabId);
      awaySince.delete(tabId);
      if (since === undefined) return;
      const all = absences.get(tabId) ?? [];
      absences.set(tabId, all);
      all.push({ until: now(), ms: now() - since });
    },
    spokenFor({ tabId, tasks }) {
      for (const entry of entries.values()) {
        const known = tasks.get(entry.taskId);
        if (entry.tabId !== tabId || !known || known.serverId !== undefined) continue;
        entry.acceptedAs = undefined;
      }
    },
    left(tabId) {
      if (!awaySince.has(tabId)) awaySince.set(tabId, now());
    },
    heard(tabId, event) {
      const entry = entries.get(event.taskId);
      check(entry?.tabId === tabId, "G1", `tab ${tabId} hears of ${event.taskId}`);
      if (!entry) return;
      switch (event.type) {
        case "accepted":
          entry.acceptedAs = event.promptId;
          given.set(entry.promptId, (given.get(entry.promptId) ?? new Set()).add(event.promptId));
          return;
        case "preview":
          check(
            markOfPicture(event.image) === entry.mark,
            "G1",
            `${entry.taskId} gets the preview of ${markOfPicture(event.image)}`,
          );
          return;
        case "text":
          check(event.text === `mark ${entry.mark}`, "G1", `${entry.taskId} hears "${event.text}"`);
          return;
        case "output":
          checkMark(entry, event.output);
          return;
        case "warning":
          if (event.code === "node-blocked")
            check(event.message.endsWith(`mark ${entry.mark}`), "G1", `${entry.taskId}: ${event.message}`);
          if (event.code === "outputs-dropped") entry.outputsDropped = true;
          return;
        case "succeeded":
        case "failed":
        case "cancelled":
        case "lost":
          ended(entry, event);
      }
    },
  };
}

function checkMark({ taskId, mark }: Entry, output: unknown): void {
  const said = (output as { mark?: unknown[] } | undefined)?.mark?.[0];
  check(said === mark, "G1", `${taskId} with mark ${mark} gets an output with mark ${said}`);
}

export function check(holds: boolean, promise: string, what: string): void {
  if (!holds) throw new Error(`${promise} is broken: ${what}`);
}
