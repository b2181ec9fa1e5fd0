/** The one alarm of a host: rings at a monotonic time, never before it. */
export interface Alarm {
  set(at: number | undefined): void;
}

/** Browsers take longer delays for zero. */
const longestDelayMs = 2 ** 31 - 1;

export function createAlarm(now: () => number, ring: () => void): Alarm {
  let timer: ReturnType<typeof setTimeout> | undefined;

  function arm(at: number): void {
    timer = setTimeout(
      () => {
        // Timers may fire a little early; without the second look the core would be woken for nothing, again and again.
        if (now() < at) arm(at);
        else ring();
      },
      Math.min(longestDelayMs, Math.max(0, Math.ceil(at - now()))),
    );
  }

  return {
    set(at) {
      clearTimeout(timer);
      if (at !== undefined) arm(at);
    },
  };
}

/** Calls back once after so many milliseconds, unless the returned function is called before. */
export type After = (ms: number, then: () => void) => () => void;

export const after: After = (ms, then) => {
  const timer = setTimeout(then, ms);
  return () => clearTimeout(timer);
};
