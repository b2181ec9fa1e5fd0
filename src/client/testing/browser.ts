import "fake-indexeddb/auto";
import { IDBFactory as FakeFactory } from "fake-indexeddb";
import type { Epoch } from "../../protocol/ids.ts";
import { hostLock } from "../../protocol/names.ts";
import type { HostMode } from "../../protocol/session-api.ts";
import type { PortLike } from "../../worker/endpoint.ts";
import { createHost } from "../../worker/host.ts";
import { createLocks } from "../../world/locks.ts";
import type { ConnectOptions } from "../api.ts";
import { connectOn, createPages } from "../connect.ts";
import type { HostPort, Platform } from "../platform.ts";
import { createChannels } from "./channels.ts";
import { type Comfy, createComfy } from "./comfy.ts";
import { memoryStorage } from "./storage.ts";

/** What stands behind a port: a real host, unless the test scripts one. */
export interface Realm {
  readonly epoch: string;
  connect(port: MessagePort): void;
  die(): void;
}

export type MakeRealm = (mode: HostMode, name: string) => Realm;

/** One origin in a browser: its locks, its workers by name, and a ComfyUI that they talk to. */
export function createBrowser({
  hasLocks = true,
  hasChannels = false,
  indexedDB = new FakeFactory(),
  log = () => {},
}: {
  hasLocks?: boolean;
  hasChannels?: boolean;
  /** A new one by default; null: the browser has none. */
  indexedDB?: IDBFactory | null | undefined;
  log?: (message: string) => void;
} = {}) {
  const comfy: Comfy = createComfy();
  const locks = createLocks();
  const channels = createChannels();
  const sharedStorage = memoryStorage();
  const shared = new Map<string, Realm>();
  const realms: Realm[] = [];
  const pages: { crash(): void }[] = [];
  const made: { mode: HostMode; name: string }[] = [];
  let makeRealm: MakeRealm = realHost;

  function realHost(mode: HostMode, name: string): Realm {
    const { locks: own, die } = locks.openRealm();
    const ports: MessagePort[] = [];
    const sockets: { close(): void }[] = [];
    const epoch = `epoch-${realms.length + 1}`;
    let alive = true;
    const host = createHost({
      mode,
      epoch,
      name,
      indexedDB: indexedDB ? () => indexedDB : undefined,
      blockOf: async () => undefined,
      fetch: (url, init) => (alive ? comfy.fetch(url, init) : new Promise(() => {})),
      openSocket(url) {
        const socket = comfy.openSocket(url);
        sockets.push(socket);
        return socket;
      },
      newRequest: undefined,
      locks: hasLocks ? own : undefined,
      isLockFree: hasLocks ? async (lock) => !locks.isHeld(lock) : undefined,
      openChannel: hasChannels ? (channel) => channels.open(channel) : undefined,
      afterThisTask: (then) => setImmediate(() => alive && then()),
      close() {
        if (shared.get(name) === realm) shared.delete(name);
        end();
      },
      log: (_level, message) => log(message),
    });
    function end(): void {
      alive = false;
      for (const port of ports) port.close();
      for (const socket of sockets) socket.close();
      die();
    }
    const realm: Realm = {
      epoch,
      connect(port) {
        ports.push(port);
        host.connect(port as PortLike);
      },
      die: end,
    };
    return realm;
  }

  function startRealm(mode: HostMode, name: string): Realm {
    made.push({ mode, name });
    const realm = makeRealm === realHost ? realHost(mode, name) : holding(makeRealm(mode, name));
    realms.push(realm);
    return realm;
  }

  /** Also a scripted host holds its lock. */
  function holding(realm: Realm): Realm {
    const { locks: own, die } = locks.openRealm();
    own.request(hostLock(realm.epoch as Epoch), () => new Promise<void>(() => {})).catch(() => {}); // stolen
    return {
      ...realm,
      die() {
        realm.die();
        die();
      },
    };
  }

  function makePort(mode: HostMode, name: string): HostPort {
    let realm = mode === "shared" ? shared.get(name) : undefined;
    realm ??= startRealm(mode, name);
    if (mode === "shared") shared.set(name, realm);
    const { port1, port2 } = new MessageChannel();
    realm.connect(port1);
    const own = realm;
    return {
      port: port2,
      failed: new Promise(() => {}),
      close: () => (mode === "solo" ? own.die() : port2.close()),
    };
  }

  return {
    comfy,
    locks,
    realms,
    made,
    /** From now on these stand behind new workers. Default: real hosts. */
    workersAre(make: MakeRealm) {
      makeRealm = make;
    },
    workersAreReal() {
      makeRealm = realHost;
    },
    /** The next to connect gets a new worker, though nobody has died. */
    forgetWorkers: () => shared.clear(),
    /** The worker dies, as a crash of the tab that made it takes it along. Nobody is told. */
    killWorkers() {
      const dying = [...shared.values()];
      shared.clear();
      for (const realm of dying) realm.die();
    },
    /** Everything is over: nothing may keep the test alive. */
    end() {
      for (const realm of realms) realm.die();
      for (const page of pages) page.crash();
    },
    /** A page of a tab; `storage` is the tab's, handed on by a reload and copied by a duplication. */
    openPage(storage: Storage = memoryStorage(), more: Partial<Platform> = {}) {
      const realm = locks.openRealm();
      const known = createPages();
      const hear = {
        pagehide: new Set<(persisted: boolean) => void>(),
        pageshow: new Set<(persisted: boolean) => void>(),
      };
      const ports: HostPort[] = [];
      const opened: BroadcastChannel[] = [];
      const openChannel = (name: string): BroadcastChannel => {
        const channel = channels.open(name);
        opened.push(channel);
        return channel;
      };
      const remember = (port: HostPort): HostPort => {
        ports.push(port);
        return port;
      };
      const platform: { -readonly [Part in keyof Platform]: Platform[Part] } = {
        whenShown: undefined,
        locks: hasLocks ? realm.locks : undefined,
        openChannel: hasChannels ? openChannel : undefined,
        frame: "",
        storage: () => storage,
        sharedStorage: () => sharedStorage,
        makeShared: (_source, name) => remember(makePort("shared", name)),
        makeSolo: (_source, name) => remember(makePort("solo", name)),
        onPageEvent(type, listener) {
          hear[type].add(listener);
          return () => hear[type].delete(listener);
        },
        askForAccess: async () => {},
        randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
        ...more,
      };
      const page = {
        storage,
        platform,
        pages: known.open,
        hear,
        ports,
        connect: (options: Partial<ConnectOptions> = {}) =>
          connectOn(() => platform, known, { servers: ["http://comfy.test"], logger: "silent", ...options }),
        fire(type: "pagehide" | "pageshow", persisted: boolean) {
          for (const listener of [...hear[type]]) listener(persisted);
        },
        /** It is gone without a word: a crash. */
        crash() {
          for (const { port } of ports) port.close();
          for (const channel of opened) channel.close();
          realm.die();
        },
      };
      pages.push(page);
      return page;
    },
  };
}

export type Browser = ReturnType<typeof createBrowser>;
export type TestPage = ReturnType<Browser["openPage"]>;
