/** What a component shows of something that changes: `get` gives the same value until there is another. */
export interface Store<T> {
  get(): T;
  /** @returns the function that ends it */
  subscribe(changed: () => void): () => void;
}

/** Reads again on subscription, and whenever `listen` says so. */
export function createStore<T>(read: () => T, listen: (changed: () => void) => () => void): Store<T> {
  let now = read();
  return {
    get: () => now,
    subscribe(told) {
      let isWanted = true;
      const stop = listen(() => {
        // An iterator that is let go of still answers who has asked it.
        if (!isWanted) return;
        now = read();
        told();
      });
      now = read();
      return () => {
        isWanted = false;
        stop();
      };
    },
  };
}
