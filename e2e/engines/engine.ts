/** A browser, as far as the scenarios drive it. */
export interface Engine {
  readonly version: string;
  /** Tabs of nobody else: no worker, lock or storage of other profiles is seen there. */
  newProfile(): Promise<Profile>;
  close(): Promise<void>;
}

export interface Profile {
  open(url: string): Promise<EngineTab>;
  close(): Promise<void>;
}

export const engineNames = ["chromium", "firefox", "webkit"] as const;
export type EngineName = (typeof engineNames)[number];

export interface EngineTab {
  /** `run` crosses as its text: it may use its argument and the page's globals only. */
  evaluate<Result, Given = undefined>(
    run: (given: Given) => Result | Promise<Result>,
    given?: Given,
  ): Promise<Result>;
  reload(): Promise<void>;
  close(): Promise<void>;
  /** Undefined where no driver can do that. */
  readonly crash: (() => Promise<void>) | undefined;
}

/** A name of this machine that no browser takes for local: its pages are no secure context. */
export const insecureHost = "app.test";
