import { nanoid } from "nanoid";
import { createHost } from "./host.ts";
import type { LocksLike } from "./page-lock.ts";
import { pageLimits } from "./server/page-limits.ts";

/**
 * The worker's entry, shared by all tabs of an origin or dedicated to one. Everything here runs before the
 * first task ends: a connect event that finds no listener is lost.
 */
declare const self: Omit<SharedWorkerGlobalScope, "onmessage"> & DedicatedWorkerGlobalScope;

const shared = "onconnect" in (self as object);
const ticks = new MessageChannel();
const waiting: (() => void)[] = [];
ticks.port1.onmessage = () => waiting.shift()?.();

/** Pages that have been told of its holder's end, and stand still, have it together. */
const isLockFree = (name: string): Promise<boolean> =>
  navigator.locks.request(name, { ifAvailable: true, mode: "shared" }, async (lock) => lock !== null);

/** The file may come from a `blob:`, whose address says nothing; a sandbox has no origin. */
const page = self.origin === "null" ? self.location.href : self.origin;
const { permissions } = navigator as { permissions?: Permissions };

const log = (level: "debug" | "warn", message: string): void => console[level](`[comfy-tabs] ${message}`);

const host = createHost({
  mode: shared ? "shared" : "solo",
  epoch: nanoid(),
  name: self.name,
  indexedDB: "indexedDB" in self ? () => self.indexedDB : undefined,
  fetch: (url, init) => fetch(url, init),
  blockOf: pageLimits(page, permissions && ((wanted) => permissions.query(wanted as never))),
  openSocket: (url) => new WebSocket(url),
  newRequest: typeof XMLHttpRequest === "undefined" ? undefined : () => new XMLHttpRequest(),
  locks: (navigator as { locks?: LocksLike }).locks,
  isLockFree: (navigator as { locks?: LockManager }).locks && isLockFree,
  openChannel: typeof BroadcastChannel === "undefined" ? undefined : (name) => new BroadcastChannel(name),
  afterThisTask(then) {
    waiting.push(then);
    ticks.port2.postMessage(null);
  },
  close: () => self.close(),
  log,
});

if (shared) {
  self.onconnect = ({ ports: [port] }) => port && host.connect(port);
} else {
  self.onmessage = ({ data, ports: [port] }: MessageEvent<unknown>) => {
    const wanted =
      typeof data === "object" && data !== null && "comfyTabs" in data && data.comfyTabs === "connect";
    if (wanted && port) host.connect(port);
  };
}

self.addEventListener("online", () => host.runtime.tell({ type: "went-online" }));
// An error that nobody handles reaches every tab as one of the worker's own (`onerror`).
self.addEventListener("error", (event) => {
  event.preventDefault();
  log("warn", `unexpected: ${event.message}`);
});
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  log("warn", `unexpected: ${String(event.reason)}`);
});
