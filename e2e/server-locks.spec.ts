import { expect, test } from "./fixtures.ts";

test("a server lock is waited for, survives a reload for five seconds, and goes with its tab", async ({
  comfy: { url },
  openTab,
}) => {
  const [anna, ben] = [await openTab(), await openTab()];
  const whose = () => ben.page.evaluate(() => window.tab.locks());
  await anna.page.evaluate((id) => window.tab.lock(id), url);
  const granted = ben.page.evaluate((id) => window.tab.lock(id), url);
  await expect.poll(whose).toEqual(["exclusive another-tab"]);

  await anna.page.reload();
  await anna.page.waitForFunction(() => window.tab !== undefined);
  await anna.page.evaluate((id) => window.tab.open({ servers: [id] }), url);
  await anna.page.evaluate((id) => window.tab.lock(id), url);
  expect(await whose()).toEqual(["exclusive another-tab"]);

  await anna.page.close();
  await granted;
  expect(await whose()).toEqual(["exclusive this-tab"]);
});
