import type { Diagnostics } from "../../src/client/index.ts";
import { isEnding } from "../../src/protocol/mailbox.ts";
import type { OpenInEngine, StateInEngine } from "../pages/engine.ts";
import type { EngineTab, Profile } from "./engine.ts";

/** A tab with a session in it. */
export interface Seat {
  readonly tabId: string;
  readonly storage: () => Promise<[string, string][]>;
  submit(workflow: object, label: string): Promise<string>;
  cancel(taskId: string): Promise<boolean>;
  state(): Promise<StateInEngine>;
  statusOf(taskId: string): Promise<string | undefined>;
  /** All that the page was told since it was loaded; once is what is promised. */
  endingsOf(taskId: string): Promise<string[]>;
  diagnostics(): Promise<Diagnostics>;
  /** For itself alone, for good, if nobody has it. @returns whether it has it now */
  lock(server: string): Promise<boolean>;
  endWorkers(): Promise<void>;
  /** Also back to life after a crash. @param options other ones than before */
  reload(options?: Partial<OpenInEngine>): Promise<void>;
  close(): Promise<void>;
  crash(): Promise<void>;
}

/** @param stored what the tab has in its `sessionStorage` before it is connected, as a copy of another has */
export async function takeSeat(
  profile: Profile,
  url: string,
  given: OpenInEngine,
  stored: [string, string][] = [],
): Promise<Seat> {
  let tab: EngineTab = await profile.open(url);
  let options = given;
  let tabId = "";
  let left: [string, string][] | undefined;

  const storage = (): Promise<[string, string][]> =>
    tab.evaluate(() => Object.entries(sessionStorage) as [string, string][]);

  async function open(items: [string, string][] = []): Promise<void> {
    await tab.evaluate((entries) => {
      for (const [key, value] of entries) sessionStorage.setItem(key, value);
    }, items);
    tabId = await tab.evaluate(async (how) => {
      await window.engine.open(how);
      return window.engine.state().tabId;
    }, options);
  }

  await open(stored);

  const state = (): Promise<StateInEngine> => tab.evaluate(() => window.engine.state());
  return {
    get tabId() {
      return tabId;
    },
    storage,
    submit: (workflow, label) =>
      tab.evaluate((what) => window.engine.submit(what.workflow, what.label), { workflow, label }),
    cancel: (taskId) => tab.evaluate((id) => window.engine.cancel(id), taskId),
    state,
    statusOf: async (taskId) => (await state()).tasks.find(({ id }) => id === taskId)?.status,
    endingsOf: async (taskId) =>
      (await state()).heard
        .filter((one) => one.taskId === taskId && isEnding(one as never))
        .map(({ type }) => type),
    diagnostics: () => tab.evaluate(() => window.engine.session().diagnostics()),
    lock: (server) =>
      tab.evaluate(async (id) => {
        const lock = await window.engine.session().lockServer(id, { mode: "exclusive", ifAvailable: true });
        return lock !== null;
      }, server),
    endWorkers: () => tab.evaluate(() => window.engine.endWorkers()),
    async reload(other = {}) {
      options = { ...options, ...other };
      if (left) tab = await profile.open(url);
      else await tab.reload();
      await open(left);
      left = undefined;
    },
    close: () => tab.close(),
    async crash() {
      if (!tab.crash) throw new Error("This engine's tabs cannot be crashed.");
      // What a browser keeps of a tab that crashed; the drivers cannot load it again in its place.
      left = await storage();
      await tab.crash();
    },
  };
}
