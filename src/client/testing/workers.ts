import { fileURLToPath } from "node:url";
import { build, type Rollup } from "vite";
import { createLocks, type RealmLocks } from "../../world/locks.ts";
import type { Comfy } from "./comfy.ts";

/** Where the worker's file is, for all that the pages know. */
export const workerUrl = "http://app.test/worker.js";

/** The worker's entry as one script, as it is published. */
async function bundleWorker(): Promise<string> {
  const entry = fileURLToPath(new URL("../../worker/main.ts", import.meta.url));
  const { output } = (await build({
    configFile: false,
    logLevel: "error",
    define: { __COMFY_TABS_BUILD__: JSON.stringify("test") },
    build: {
      write: false,
      minify: false,
      target: "node20",
      lib: { entry, formats: ["iife"], name: "worker", fileName: "worker" },
    },
  }).then((built) => (Array.isArray(built) ? built[0] : built))) as Rollup.RollupOutput;
  return output[0].code;
}

let bundled: Promise<string> | undefined;

interface Scope extends EventTarget {
  onconnect?: ((event: { ports: MessagePort[] }) => void) | null;
  onmessage?: ((event: { data: unknown; ports: MessagePort[] }) => void) | null;
}

/** What a page finds of workers in its realm, and a test of them. */
export interface Workers {
  readonly SharedWorker: typeof SharedWorker;
  readonly Worker: typeof Worker;
  /** Of a page. */
  openLocks(): RealmLocks;
  /** Of which kinds workers have been started, in order. */
  readonly started: readonly ("shared" | "dedicated")[];
  /** They end as in a crash: nobody is told. */
  kill(): void;
}

/**
 * The browser's two kinds of workers, each with the real entry inside: what it finds in its scope tells it which
 * kind it is. A file of another address does not load.
 */
export async function createWorkers(comfy: Comfy, indexedDB: IDBFactory): Promise<Workers> {
  bundled ??= bundleWorker();
  const code = await bundled;
  const locks = createLocks();
  const shared = new Map<string, ReturnType<typeof start>>();
  const started: ("shared" | "dedicated")[] = [];
  const living = new Set<{ die(): void }>();

  function start(kind: "shared" | "dedicated", name: string) {
    const realm = locks.openRealm();
    const ports: MessagePort[] = [];
    const sockets: { close(): void }[] = [];
    const scope: Scope = Object.assign(new EventTarget(), {
      name,
      indexedDB,
      origin: "http://app.test",
      location: new URL(workerUrl),
      ...(kind === "shared" ? { onconnect: null } : { onmessage: null }),
    });
    let alive = true;
    const around = {
      self: scope,
      navigator: { locks: realm.locks },
      fetch: (...asked: Parameters<Comfy["fetch"]>) =>
        alive ? comfy.fetch(...asked) : new Promise(() => {}),
      WebSocket: function openSocket(url: string) {
        const socket = comfy.openSocket(url);
        sockets.push(socket);
        return socket;
      },
      MessageChannel: class extends MessageChannel {
        constructor() {
          super();
          ports.push(this.port1, this.port2);
        }
      },
      XMLHttpRequest: undefined,
      console: { debug() {}, warn() {} },
    };
    new Function(...Object.keys(around), code)(...Object.values(around));
    started.push(kind);
    const worker = {
      scope,
      take(port: MessagePort): MessagePort {
        ports.push(port);
        return port;
      },
      die() {
        alive = false;
        living.delete(worker);
        for (const port of ports) port.close();
        for (const socket of sockets) socket.close();
        realm.die();
      },
    };
    living.add(worker);
    return worker;
  }

  /** The event of a file that does not load comes in a task of its own. */
  const failing = (worker: EventTarget): void =>
    void setImmediate(() => worker.dispatchEvent(new Event("error")));

  class FakeSharedWorker extends EventTarget {
    readonly port: MessagePort;
    constructor(url: string | URL, { name = "" }: WorkerOptions = {}) {
      super();
      const { port1, port2 } = new MessageChannel();
      this.port = port1;
      if (String(url) !== workerUrl) {
        failing(this);
        return;
      }
      const worker = shared.get(name) ?? start("shared", name);
      shared.set(name, worker);
      worker.scope.onconnect?.({ ports: [worker.take(port2)] });
    }
  }

  class FakeWorker extends EventTarget {
    readonly #worker: ReturnType<typeof start> | undefined;
    constructor(url: string | URL, { name = "" }: WorkerOptions = {}) {
      super();
      if (String(url) === workerUrl) this.#worker = start("dedicated", name);
      else failing(this);
    }
    postMessage(data: unknown, [port]: MessagePort[]): void {
      const worker = this.#worker;
      if (port) setImmediate(() => worker?.scope.onmessage?.({ data, ports: [worker.take(port)] }));
    }
    terminate(): void {
      this.#worker?.die();
    }
  }

  return {
    SharedWorker: FakeSharedWorker as unknown as typeof SharedWorker,
    Worker: FakeWorker as unknown as typeof Worker,
    openLocks: () => locks.openRealm().locks,
    started,
    kill() {
      shared.clear();
      for (const worker of living) worker.die();
    },
  };
}
