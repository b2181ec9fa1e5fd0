/** The part of `navigator.locks` that is used. */
export interface LocksLike {
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly mode?: "shared"; readonly steal?: boolean },
    granted: () => Promise<void>,
  ): Promise<unknown>;
}

/** A port to a host, and how it is told that the host could not be made. */
export interface HostPort {
  readonly port: MessagePort;
  /** Settles only by rejection, and only where the platform tells. */
  readonly failed: Promise<never>;
  close(): void;
}

/** Everything of the page that the client touches; resolved in `browserPlatform` and nowhere else. */
export interface Platform {
  /** Until then the page is only prerendered: the browser keeps workers and locks from it, and its tab's storage. */
  readonly whenShown: Promise<unknown> | undefined;
  readonly locks: LocksLike | undefined;
  /** To the other pages of this origin. Undefined where there is none. */
  readonly openChannel: ((name: string) => BroadcastChannel) | undefined;
  /** Which of its tab's frames this page is in: they share one storage. Empty: the tab's own page. */
  readonly frame: string;
  /** Of this page and its reloads. Every access may throw. */
  readonly storage: () => Storage;
  /** Of all pages of this origin. Every access may throw. */
  readonly sharedStorage: () => Storage;
  readonly makeShared: ((url: WorkerSource, name: string) => HostPort) | undefined;
  readonly makeSolo: ((url: WorkerSource, name: string) => HostPort) | undefined;
  /** @returns the function that ends it */
  onPageEvent(type: "pagehide" | "pageshow", listener: (persisted: boolean) => void): () => void;
  /** Has the browser ask its user for what a worker cannot ask for. Never rejects, and ends. */
  readonly askForAccess: (servers: readonly { readonly url: string }[]) => Promise<void>;
  readonly randomBytes: (count: number) => Uint8Array;
}

export type WorkerSource =
  | string
  | URL
  | ((kind: "shared" | "dedicated", name: string) => SharedWorker | Worker)
  | undefined;
