import type { After } from "../timers.ts";
import type { Journal } from "./journal.ts";
import { memoryJournal } from "./memory.ts";

/** How long the storage may take for one step. */
const patienceMs = 2000;

/** A journal that may reject, never settle, or be taken away. */
export interface ClosableStorage extends Omit<Journal, "kind" | "expire"> {
  /** Forgets some of what {@link Journal.expire} is to forget; false when there was nothing. */
  expire(before: number, perTab: number, inAll: number): Promise<boolean>;
  /** Takes to the disk what was written, in case the machine dies: of endings `write` does not wait for that. */
  flush(): Promise<void>;
  close(): void;
}

export interface FallbackMeans {
  /** @param onLost to be called when the storage cannot be used any more, or not at all: it is closed then */
  readonly open: (onLost: (reason: string) => void) => Promise<ClosableStorage>;
  readonly after: After;
  /** The journal goes on in memory, for good. Called once, before anything that memory answers. */
  readonly onDegraded: (reason: string) => void;
}

/**
 * A journal in a storage that may refuse, fail, hang, or be taken away. Then it continues in memory: all that it
 * has written or claimed since it was opened is there as well. What it has not touched stays in the storage for
 * another host, as does what it wrote last.
 */
export function journalWithFallback({ open, after, onDegraded }: FallbackMeans): Journal {
  const twin = memoryJournal();
  let storage: ClosableStorage | undefined;
  let degraded = false;
  let flushing = false;
  let giveUp = (): void => {};

  function degrade(reason: string): void {
    if (degraded) return;
    degraded = true;
    storage?.close();
    storage = undefined;
    onDegraded(reason);
    giveUp();
  }

  /** Undefined when the storage has failed at it, or not answered in time. */
  function attempt<T>(step: () => Promise<T>): Promise<{ readonly result: T } | undefined> {
    return new Promise((resolve) => {
      const stop = deadline(after, () => degrade(`the storage has not answered for ${patienceMs} ms`));
      giveUp = () => {
        stop();
        resolve(undefined);
      };
      step().then(
        (result) => {
          stop();
          resolve({ result });
        },
        (error: unknown) => degrade(String(error)),
      );
    });
  }

  // One step at a time: a step that waits behind others does not use up its own time.
  let line: Promise<unknown> = attempt(async () => {
    const opened = await open(degrade);
    if (degraded) opened.close();
    else storage = opened;
  });

  function inTurn<T>(
    inStorage: (storage: ClosableStorage) => Promise<T>,
    inMemory: () => Promise<T>,
    copy: (result: T) => unknown,
  ): Promise<T> {
    const done = line.then(async () => {
      const opened = storage;
      const stored = opened && (await attempt(() => inStorage(opened)));
      if (!stored) return inMemory();
      await copy(stored.result);
      return stored.result;
    });
    line = done;
    return done;
  }

  /** Behind what waits already, so that many endings need one. */
  function flushSoon(): void {
    if (flushing) return;
    flushing = true;
    const nothing = async (): Promise<void> => {};
    void inTurn(
      (opened) => {
        flushing = false;
        return opened.flush();
      },
      nothing,
      nothing,
    );
  }

  return {
    get kind() {
      return degraded ? "memory" : "indexeddb";
    },
    write: (entry, isNew) =>
      inTurn(
        (opened) => opened.write(entry, isNew),
        () => twin.write(entry, isNew),
        (outcome) => {
          if (outcome === "written") {
            twin.copy(entry);
            if (entry.settledAt !== undefined) flushSoon();
          }
          // What was to be its first entry was never here.
          return outcome === "superseded" && !isNew ? twin.erase([entry.taskId]) : undefined;
        },
      ),
    erase(taskIds) {
      const inMemory = (): Promise<void> => twin.erase(taskIds);
      return inTurn((opened) => opened.erase(taskIds), inMemory, inMemory);
    },
    claim: (tabId, tabSecret) =>
      inTurn(
        (opened) => opened.claim(tabId, tabSecret),
        () => twin.claim(tabId, tabSecret),
        copyAll,
      ),
    claimOverdue: (before) =>
      inTurn(
        (opened) => opened.claimOverdue(before),
        () => twin.claimOverdue(before),
        copyAll,
      ),
    async expire(before, perTab, inAll) {
      const inMemory = async (): Promise<boolean> => {
        await twin.expire(before, perTab, inAll);
        return false;
      };
      let more: boolean;
      // Others have their turns in between.
      do more = await inTurn((opened) => opened.expire(before, perTab, inAll), inMemory, inMemory);
      while (more);
    },
  };

  function copyAll(entries: Awaited<ReturnType<Journal["claim"]>>): void {
    for (const entry of entries) twin.copy(entry);
  }
}

/**
 * In two halves: when a frozen worker wakes, all its timers are due at once, before the storage has had a chance
 * to answer; the second half is that chance.
 */
function deadline(after: After, ring: () => void): () => void {
  let stop = after(patienceMs / 2, () => {
    stop = after(patienceMs / 2, ring);
  });
  return () => stop();
}
