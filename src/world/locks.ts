/** What is wanted of a lock, as far as it is used. */
export interface LockWish {
  readonly mode?: "exclusive" | "shared";
  readonly ifAvailable?: boolean;
  readonly steal?: boolean;
  readonly signal?: AbortSignal;
}

type Granted = (lock: object | null) => void | Promise<void>;

/** What a realm sees of the lock manager: `navigator.locks`, as far as it is used. */
export interface RealmLocks {
  request(name: string, granted: Granted): Promise<unknown>;
  request(name: string, wish: LockWish, granted: Granted): Promise<unknown>;
}

interface Wanted {
  readonly realm: object;
  readonly name: string;
  readonly isShared: boolean;
  readonly grant: Granted;
  readonly settle: (error?: unknown) => void;
}

interface Queue {
  holders: Wanted[];
  readonly waiting: Wanted[];
}

/**
 * The Web Locks of one origin: each name to one at a time, or to all who share it, first come first served,
 * never during the call that asks. A realm that dies lets go of everything.
 */
export function createLocks() {
  const queues = new Map<string, Queue>();

  function queueOf(name: string): Queue {
    const queue = queues.get(name) ?? { holders: [], waiting: [] };
    queues.set(name, queue);
    return queue;
  }

  const isFree = ({ holders }: Queue, { isShared }: Wanted): boolean =>
    holders.length === 0 || (isShared && holders.every((one) => one.isShared));

  async function run(one: Wanted, lock: object | null): Promise<void> {
    try {
      await one.grant(lock);
      one.settle();
    } catch (error) {
      one.settle(error);
    }
  }

  function grantNext(queue: Queue): void {
    for (let next = queue.waiting[0]; next && isFree(queue, next); next = queue.waiting[0]) {
      const granted = next;
      queue.waiting.shift();
      queue.holders.push(granted);
      void run(granted, { name: granted.name }).then(() => letGo(queue, granted));
    }
  }

  function letGo(queue: Queue, one: Wanted): void {
    if (!queue.holders.includes(one)) return;
    queue.holders = queue.holders.filter((holder) => holder !== one);
    queueMicrotask(() => grantNext(queue));
  }

  function request(
    realm: object,
    name: string,
    { mode = "exclusive", ifAvailable = false, steal = false, signal }: LockWish,
    grant: Granted,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const queue = queueOf(name);
      const wanted: Wanted = {
        realm,
        name,
        isShared: mode === "shared",
        grant,
        settle: (error) => (error === undefined ? resolve() : reject(error)),
      };
      if (ifAvailable && !(queue.waiting.length === 0 && isFree(queue, wanted))) {
        queueMicrotask(() => void run(wanted, null));
        return;
      }
      if (steal) {
        const robbed = queue.holders;
        queue.holders = [];
        queue.waiting.unshift(wanted);
        for (const one of robbed)
          one.settle(new DOMException("Another request stole the lock.", "AbortError"));
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
    isHeld: (name: string): boolean => (queues.get(name)?.holders.length ?? 0) > 0,
    waitingFor: (name: string): number => queues.get(name)?.waiting.length ?? 0,
    names: (): string[] => [...queues].filter(([, { holders }]) => holders.length > 0).map(([name]) => name),
    /** One page or worker of the origin. */
    openRealm(): { readonly locks: RealmLocks; die(): void } {
      const realm = {};
      const locks: RealmLocks = {
        request: (name: string, wish: LockWish | Granted, granted?: Granted) =>
          typeof wish === "function"
            ? request(realm, name, {}, wish)
            : request(realm, name, wish, granted ?? (() => {})),
      };
      return {
        locks,
        die() {
          for (const queue of queues.values()) {
            const alive = queue.waiting.filter((one) => one.realm !== realm);
            queue.waiting.splice(0, queue.waiting.length, ...alive);
            for (const one of queue.holders) if (one.realm === realm) letGo(queue, one);
          }
        },
      };
    },
  };
}
