import { type Simulator, startSimulator } from "../src/simulator/http-server.ts";
import { expect, type Tab, test } from "./fixtures.ts";
import { portrait } from "./workflows.ts";

const connections = (tab: Tab): Promise<string[]> =>
  tab.page.evaluate(() =>
    window.tab
      .session()
      .servers()
      .map(({ connection }) => connection),
  );

const ran = ({ log }: Simulator): number => log.prompts.filter(({ ending }) => ending === "success").length;

/** Every tab submits so many at once, and all of them succeed. */
async function runAll(tabs: readonly Tab[], each: number): Promise<void> {
  const endings = await Promise.all(
    tabs.flatMap((tab) =>
      Array.from({ length: each }, async () => tab.ending(await tab.submit(portrait({ delayMs: 20 })))),
    ),
  );
  expect(endings.map(({ type }) => type)).toEqual(Array(tabs.length * each).fill("succeeded"));
}

test("tabs share several servers, go on without one that has died, and use it again when it is back", async ({
  openTab,
  startComfy,
}) => {
  const [mortal, ...others] = [await startSimulator({ speed: 1 }), await startComfy(), await startComfy()];
  const servers = [mortal, ...others].map(({ url }) => url);
  const tabs = [await openTab({ servers }), await openTab({ servers }), await openTab({ servers })];
  for (const tab of tabs) await expect.poll(() => connections(tab)).toEqual(["open", "open", "open"]);

  await runAll(tabs, 8);
  for (const comfy of [mortal, ...others]) expect(ran(comfy)).toBeGreaterThanOrEqual(4);

  await mortal.close();
  for (const tab of tabs) await expect.poll(async () => (await connections(tab))[0]).not.toBe("open");
  await runAll(tabs, 4);
  expect(others.map(ran).reduce((sum, count) => sum + count, 0) + ran(mortal)).toBe(36);

  const back = await startSimulator({ speed: 1, port: Number(new URL(mortal.url).port) });
  try {
    for (const tab of tabs)
      await expect.poll(async () => (await connections(tab))[0], { timeout: 40_000 }).toBe("open");
    await runAll(tabs, 8);
    expect(ran(back)).toBeGreaterThanOrEqual(4);
  } finally {
    await back.close();
  }
});
