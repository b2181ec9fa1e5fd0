import type { Carry } from "./calls.ts";

/** A call unanswered for so long makes the page ask whether the host is there at all. */
const suspicionMs = 5_000;
/**
 * How long it may take to say so, in two halves: a page that was frozen wakes to a timer that is long over,
 * and hears what came meanwhile before the second half ends.
 */
const halfPatienceMs = 5_000;

/**
 * A worker that hangs in a loop keeps its locks and its name; only that it answers nothing tells. Calls that
 * wait for a server are slow, too, so the host is asked for what it can say at once.
 *
 * @param hung called once
 */
export function listening(carry: Carry, hung: () => void): { readonly carry: Carry; stop(): void } {
  let waiting = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let over = false;

  function suspect(): void {
    timer = undefined;
    if (waiting === 0 || over) return;
    timer = setTimeout(() => {
      timer = setTimeout(() => {
        over = true;
        hung();
      }, halfPatienceMs);
    }, halfPatienceMs);
    const answered = (): void => {
      clearTimeout(timer);
      timer = over || waiting === 0 ? undefined : setTimeout(suspect, suspicionMs);
    };
    carry("diagnostics", []).then(answered, answered);
  }

  return {
    carry(method, args) {
      const answer = carry(method, args);
      waiting += 1;
      if (!over) timer ??= setTimeout(suspect, suspicionMs);
      const answered = (): void => {
        waiting -= 1;
        if (waiting > 0 || over) return;
        clearTimeout(timer);
        timer = undefined;
      };
      answer.then(answered, answered);
      return answer;
    },
    stop() {
      over = true;
      clearTimeout(timer);
    },
  };
}
