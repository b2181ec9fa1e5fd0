import type { Logger } from "./api.ts";

/** Who wants to hear of what, by type. */
export interface Listeners {
  tell(type: string, event: unknown): void;
  /**
   * @param missed what came before, to be told first: not during the call that asks for it
   * @returns the function that ends it
   */
  add(type: string, listener: (event: never) => void, missed: () => readonly unknown[]): () => void;
  /** Nothing more will come. */
  clear(): void;
}

export function createListeners(logger: Logger): Listeners {
  const listeners = new Set<{ readonly type: string; readonly listener: (event: never) => void }>();
  return {
    tell(type, event) {
      for (const one of listeners) if (one.type === type) tell(logger, type, one.listener, event as never);
    },
    add(type, listener, missed) {
      const entry = { type, listener };
      let isWanted = true;
      queueMicrotask(() => {
        if (isWanted) listeners.add(entry);
        for (const event of missed()) if (isWanted) tell(logger, type, listener, event as never);
      });
      return () => {
        isWanted = false;
        listeners.delete(entry);
      };
    },
    clear: () => listeners.clear(),
  };
}

/** Tells a listener of the app's, whose failure is not to be ours. */
export function tell<Event>(
  logger: Logger,
  type: string,
  listener: (event: Event) => void,
  event: Event,
): void {
  try {
    listener(event);
  } catch (error) {
    logger.warn("a listener of", type, "failed:", error);
  }
}
