import type { SessionMethod } from "../protocol/session-api.ts";
import type { Carry } from "./calls.ts";

export interface Patience {
  /** A call unanswered for so long makes the page ask whether the host is there at all. */
  readonly suspicionMs: number;
  /**
   * Half of how long it may take to say so: a page that was frozen wakes to a timer that is long over,
   * and hears what came meanwhile before the second half ends.
   */
  readonly halfMs: number;
}

const usual: Patience = { suspicionMs: 5_000, halfMs: 5_000 };
/** A page that only waits for its tasks makes no calls, and would wait for a hung host's for ever. */
const restMs = 15_000;

export interface Listening {
  readonly carry: Carry;
  /** The page has nothing to ask for now, and may have something to wait for. */
  rest(): void;
  stop(): void;
}

/**
 * A worker that hangs in a loop keeps its locks and its name; only that it answers nothing tells. Calls that
 * wait for a server are slow, too, so the host is asked for what it can say at once.
 *
 * @param waits whether the page waits for anything that the host would tell unasked
 * @param hung called once
 */
export function listening(
  carry: Carry,
  waits: () => boolean,
  hung: () => void,
  { suspicionMs, halfMs } = usual,
): Listening {
  let waiting = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let resting: ReturnType<typeof setTimeout> | undefined;
  let over = false;

  function suspect(): void {
    timer = undefined;
    if (waiting === 0 || over) return;
    timer = setTimeout(() => {
      timer = setTimeout(() => {
        over = true;
        hung();
      }, halfMs);
    }, halfMs);
    const answered = (): void => {
      clearTimeout(timer);
      timer = over || waiting === 0 ? undefined : setTimeout(suspect, suspicionMs);
    };
    carry("diagnostics", []).then(answered, answered);
  }

  function ask(method: SessionMethod, args: readonly unknown[]): ReturnType<Carry> {
    const answer = carry(method, args);
    waiting += 1;
    if (!over) timer ??= setTimeout(suspect, suspicionMs);
    const answered = (): void => {
      waiting -= 1;
      if (waiting > 0 || over) return;
      clearTimeout(timer);
      timer = undefined;
      rest();
    };
    answer.then(answered, answered);
    return answer;
  }

  function rest(): void {
    clearTimeout(resting);
    if (!over && waits()) resting = setTimeout(stir, restMs);
  }

  function stir(): void {
    if (waiting === 0 && waits()) void ask("diagnostics", []).catch(() => {}); // whatever it says, it is there
  }

  return {
    carry: ask,
    rest,
    stop() {
      over = true;
      clearTimeout(timer);
      clearTimeout(resting);
    },
  };
}
