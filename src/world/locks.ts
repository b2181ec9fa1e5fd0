/** What a realm sees of the lock manager: `navigator.locks`, as far as it is used. */
export interface RealmLocks {
  request(name: string, granted: () => void | Promise<void>): Promise<unknown>;
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly steal?: boolean },
    granted: () => void | Promise<void>,
  ): Promise<unknown>;
}

interface Wanted {
  readonly realm: object;
  readonly grant: () => void | Promise<void>;
  readonly settle: (error?: unknown) => void;
}

interface Queue {
  holder: Wanted | undefined;
  readonly waiting: Wanted[];
}

/**
 * The Web Locks of one origin, exclusive ones only: each name to one at a time, first come first served,
 * never during the call that asks. A realm that dies lets go of everything.
 */
export function createLocks() {
  const queues = new Map<string, Queue>();

  function queueOf(name: string): Queue {
    const queue = queues.get(name) ?? { holder: undefined, waiting: [] };
    queues.set(name, queue);
    return queue;
  }

  function grantNext(queue: Queue): void {
    if (queue.holder) return;
    const next = queue.waiting.shift();
    if (!next) return;
    queue.holder = next;
    void (async () => {
      try {
        await next.grant();
        next.settle();
      } catch (error) {
        next.settle(error);
      }
      letGo(queue, next);
    })();
  }

  function letGo(queue: Queue, one: Wanted): void {
    if (queue.holder !== one) return;
    queue.holder = undefined;
    queueMicrotask(() => grantNext(queue));
  }

  function request(
    realm: object,
    name: string,
    grant: () => void | Promise<void>,
    signal: AbortSignal | undefined,
    steal = false,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const queue = queueOf(name);
      const wanted: Wanted = {
        realm,
        grant,
        settle: (error) => (error === undefined ? resolve() : reject(error)),
      };
      if (steal) {
        const robbed = queue.holder;
        queue.holder = undefined;
        queue.waiting.unshift(wanted);
        robbed?.settle(new DOMException("Another request stole the lock.", "AbortError"));
      } else queue.waiting.push(wanted);
      signal?.addEventListener("abort", () => {
        const place = queue.waiting.indexOf(wanted);
        if (place < 0) return;
        queue.waiting.splice(place, 1);
        reject(signal.reason);
      });
      queueMicrotask(() => grantNext(queue));
    });
  }

  return {
    isHeld: (name: string): boolean => queues.get(name)?.holder !== undefined,
    waitingFor: (name: string): number => queues.get(name)?.waiting.length ?? 0,
    names: (): string[] => [...queues].filter(([, { holder }]) => holder).map(([name]) => name),
    /** One page or worker of the origin. */
    openRealm(): { readonly locks: RealmLocks; die(): void } {
      const realm = {};
      const locks: RealmLocks = {
        request: (
          name: string,
          options: { readonly signal?: AbortSignal; readonly steal?: boolean } | (() => void | Promise<void>),
          granted?: () => void | Promise<void>,
        ) =>
          typeof options === "function"
            ? request(realm, name, options, undefined)
            : request(realm, name, granted ?? (() => {}), options.signal, options.steal),
      };
      return {
        locks,
        die() {
          for (const queue of queues.values()) {
            const alive = queue.waiting.filter((one) => one.realm !== realm);
            queue.waiting.splice(0, queue.waiting.length, ...alive);
            if (queue.holder?.realm === realm) letGo(queue, queue.holder);
          }
        },
      };
    },
  };
}
