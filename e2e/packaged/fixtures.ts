import { type BrowserContext, expect } from "@playwright/test";
import type { Simulator } from "../../src/simulator/http-server.ts";
import { test as base } from "../fixtures.ts";
import { type App, type Packed, packAndInstall } from "./app.ts";
import { serveFolder } from "./site.ts";

interface Fixtures {
  /** Makes an app that is removed when the test is over. */
  readonly makeApp: (like?: string) => App;
  /** Serves a folder until the test is over. @returns its address */
  readonly serve: (folder: string, headers?: Readonly<Record<string, string>>) => Promise<string>;
}

export const test = base.extend<Fixtures, { packed: Packed }>({
  packed: [
    async ({ served: _ }, use) => {
      const packed = packAndInstall();
      await use(packed);
      packed.remove();
    },
    { scope: "worker", timeout: 120_000 },
  ],
  makeApp: async ({ packed }, use) => {
    const made: App[] = [];
    await use((like) => {
      const app = packed.app(like);
      made.push(app);
      return app;
    });
    for (const app of made) app.remove();
  },
  serve: async ({ browserName: _ }, use) => {
    const closes: (() => Promise<void>)[] = [];
    await use(async (folder, headers) => {
      const { url, close } = await serveFolder(folder, headers);
      closes.push(close);
      return url;
    });
    for (const close of closes) await close();
  },
});

/** The README's example runs at this address in two tabs, each with a task of its own, over one socket. */
export async function expectTwoTabs(context: BrowserContext, url: string, comfy: Simulator): Promise<void> {
  const outputs = [1, 2].map(async () => {
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    const result = page.waitForEvent("console", {
      predicate: (message) => message.type() === "log" && message.args().length === 2,
      timeout: 30_000,
    });
    result.catch(() => {}); // told below
    await page.goto(url);
    const message = await result.catch((error: Error) => {
      throw new Error(`${error.message}\n${problems.join("\n")}`);
    });
    return message.args()[0]?.jsonValue();
  });
  expect(await Promise.all(outputs)).toEqual([{ "2": { text: ["1"] } }, { "2": { text: ["1"] } }]);
  expect(comfy.log.prompts).toHaveLength(2);
  expect(comfy.log.sockets).toHaveLength(1);
}

export { expect } from "@playwright/test";
