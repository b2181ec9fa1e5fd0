import { type ChildProcess, spawn } from "node:child_process";
import { type BrowserContext, type CDPSession, chromium, type Page } from "@playwright/test";
import { chromiumArgs } from "../chromium-args.ts";
import { insecureHost } from "../engines/engine.ts";
import type {} from "../pages/chaos.ts";
import { readTold, type Told } from "./told.ts";

/**
 * A Chromium as its users run it. Playwright's own launch keeps every page visible and nothing in the
 * back/forward cache, so pages could be neither frozen nor cached.
 */
export interface ChaosBrowser {
  /** Those that were opened here or by a page, also crashed ones. */
  readonly tabs: readonly ChaosTab[];
  /**
   * @param stored what `sessionStorage` holds already, as when the browser opens a closed tab again
   * @param onTab hears of the tab before its page can tell anything
   */
  open(
    url: string,
    stored?: Readonly<Record<string, string>>,
    onTab?: (tab: ChaosTab) => void,
  ): Promise<ChaosTab>;
  onTold(listener: (told: Told, tab: ChaosTab) => void): void;
  /** SharedWorkers that are alive. */
  workers(): Promise<{ targetId: string; title: string }[]>;
  /** The pages are not told. @returns when it was ordered, in epoch milliseconds: they may know before we do */
  killWorker(targetId: string): Promise<number>;
  /** It does nothing for so long, and then goes on as if nothing had been. */
  hangWorker(targetId: string, ms: number): Promise<void>;
  /** As its user does. */
  close(): Promise<void>;
  /** As the power does. */
  kill(): Promise<void>;
}

export interface ChaosTab {
  readonly told: readonly Told[];
  /** Its page is gone; {@link reload} brings it back, as the sad tab's button does. */
  readonly isCrashed: boolean;
  evaluate<Result, Argument>(run: (given: Argument) => Result, given: Argument): Promise<Awaited<Result>>;
  evaluate<Result>(run: () => Result): Promise<Awaited<Result>>;
  /** Until the page has connected. */
  ready(): Promise<void>;
  reload(): Promise<void>;
  navigate(url: string): Promise<void>;
  back(): Promise<void>;
  forward(): Promise<void>;
  /** The whole process of the page, and of whatever shares it. */
  crash(): Promise<void>;
  /** @returns the copy, which has its own copy of `sessionStorage` */
  duplicate(): Promise<ChaosTab>;
  /** Only while another tab is in front. */
  freeze(): Promise<void>;
  resume(): Promise<void>;
  toFront(): Promise<void>;
  close(): Promise<void>;
}

const args = [
  "--headless=new",
  "--remote-debugging-port=0",
  `--host-resolver-rules=MAP ${insecureHost} 127.0.0.1`,
  ...chromiumArgs,
];

/** @param profile the folder in which it keeps what it stores, also for its next start */
export async function startBrowser(executable: string, profile: string): Promise<ChaosBrowser> {
  const child = spawn(executable, [...args, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const browser = await chromium.connectOverCDP(await debuggerOf(child), { noDefaults: true });
  const context = browser.contexts()[0] as BrowserContext;
  const cdp = await browser.newBrowserCDPSession();
  const tabs = new Map<Page, OwnTab>();
  /** How much each page has told. Out of the back/forward cache comes all of it again. */
  const heardOf = new Map<string, number>();
  const listeners: ((told: Told, tab: ChaosTab) => void)[] = [];

  function adopt(page: Page): OwnTab {
    const known = tabs.get(page);
    if (known) return known;
    const tab = createTab(page, context, adopt, () => tabs.delete(page));
    tabs.set(page, tab);
    return tab;
  }
  context.on("page", adopt);
  // Playwright tells of a page's first crash only.
  cdp.on("Target.targetCrashed", async ({ targetId }) => {
    for (const tab of tabs.values()) if ((await tab.targetId) === targetId) tab.noteCrash();
  });
  await cdp.send("Target.setDiscoverTargets", { discover: true });
  context.on("console", (message) => {
    const page = message.page();
    const told = readTold(message.text());
    if (!page || !told || told.number <= (heardOf.get(told.page) ?? 0)) return;
    heardOf.set(told.page, told.number);
    const tab = adopt(page);
    tab.told.push(told);
    for (const listener of listeners) listener(told, tab);
  });

  return {
    get tabs() {
      return [...tabs.values()];
    },
    async open(url, stored = {}, onTab = () => {}) {
      const page = await context.newPage();
      const tab = adopt(page);
      onTab(tab);
      const session = await context.newCDPSession(page);
      const source = `for (const [key, value] of Object.entries(${JSON.stringify(stored)})) sessionStorage.setItem(key, value)`;
      await session.send("Page.enable");
      const { identifier } = await session.send("Page.addScriptToEvaluateOnNewDocument", { source });
      await tab.navigate(url);
      await session.send("Page.removeScriptToEvaluateOnNewDocument", { identifier });
      await session.detach();
      return tab;
    },
    onTold: (listener) => void listeners.push(listener),
    async workers() {
      const { targetInfos } = await cdp.send("Target.getTargets", { filter: [{ type: "shared_worker" }] });
      return targetInfos;
    },
    async killWorker(targetId) {
      const at = Date.now();
      await cdp.send("Target.closeTarget", { targetId });
      return at;
    },
    async hangWorker(targetId, ms) {
      const memory = "new WebAssembly.Memory({ shared: true, initial: 1, maximum: 1 }).buffer";
      const hang = `Atomics.wait(new Int32Array(${memory}), 0, 0, ${ms})`;
      const expression = `setTimeout(() => ${hang}, 100)`; // time enough to detach
      const { sessionId } = await cdp.send("Target.attachToTarget", { targetId, flatten: false });
      const message = JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } });
      await cdp.send("Target.sendMessageToTarget", { sessionId, message });
      // As long as somebody is attached to a worker that dies, no other of its name can start.
      await cdp.send("Target.detachFromTarget", { sessionId });
    },
    async close() {
      await cdp.send("Browser.close");
      await exited;
    },
    async kill() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

function debuggerOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr?.on("data", (chunk) => {
      said += chunk;
      const address = /ws:\/\/\S+/.exec(said)?.[0];
      if (address) resolve(address);
    });
    child.once("exit", () => reject(new Error(`The browser did not start: ${said}`)));
  });
}

interface OwnTab extends ChaosTab {
  told: Told[];
  readonly targetId: Promise<string>;
  noteCrash(): void;
}

function createTab(
  page: Page,
  context: BrowserContext,
  adopt: (page: Page) => ChaosTab,
  closed: () => void,
): OwnTab {
  let isCrashed = false;
  let session: Promise<CDPSession> | undefined;
  const whenCrashed: (() => void)[] = [];
  page.on("close", closed);
  const cdp = (): Promise<CDPSession> => {
    session ??= context.newCDPSession(page);
    return session;
  };

  async function run(expression: string, more: object = {}): Promise<unknown> {
    const { result, exceptionDetails } = await (await cdp()).send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      ...more,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async function go(steps: number): Promise<void> {
    const { currentIndex, entries } = await (await cdp()).send("Page.getNavigationHistory");
    const entryId = entries[currentIndex + steps]?.id;
    if (entryId === undefined) throw new Error("there is nothing to go to");
    await (await cdp()).send("Page.navigateToHistoryEntry", { entryId });
  }

  const tab: OwnTab = {
    told: [],
    targetId: cdp()
      .then((own) => own.send("Target.getTargetInfo"))
      .then(
        ({ targetInfo }) => targetInfo.targetId,
        () => "", // closed before it was asked
      ),
    noteCrash() {
      isCrashed = true;
      session = undefined;
      for (const then of whenCrashed.splice(0)) then();
    },
    get isCrashed() {
      return isCrashed;
    },
    evaluate: (body: (given: never) => unknown, given?: unknown) =>
      run(`(${body})(${given === undefined ? "" : JSON.stringify(given)})`) as Promise<never>,
    async ready() {
      const connected =
        "new Promise((done) => { const look = () => window.chaos ? done(true) : setTimeout(look, 20); look(); })";
      await run(connected);
    },
    async reload() {
      await (await cdp()).send("Page.reload");
      isCrashed = false;
    },
    async navigate(url) {
      const { errorText } = await (await cdp()).send("Page.navigate", { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
    },
    back: () => go(-1),
    forward: () => go(1),
    async crash() {
      const crashed = new Promise<void>((resolve) => whenCrashed.push(resolve));
      // The answer never comes.
      (await cdp()).send("Page.crash").catch(() => {});
      await crashed;
    },
    async duplicate() {
      const opened = context.waitForEvent("page");
      await run("void window.open(location.href)", { userGesture: true });
      return adopt(await opened);
    },
    async freeze() {
      await (await cdp()).send("Page.setWebLifecycleState", { state: "frozen" });
    },
    async resume() {
      await (await cdp()).send("Page.setWebLifecycleState", { state: "active" });
    },
    async toFront() {
      await (await cdp()).send("Page.bringToFront");
    },
    close: () => page.close(),
  };
  return tab;
}
