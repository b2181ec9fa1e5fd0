import { join } from "node:path";
import type { Page } from "@playwright/test";
import { build } from "vite";
import { lend } from "./packaged/app.ts";
import { expect, test } from "./packaged/fixtures.ts";

const parts = {
  react: ["react", "react-dom", "scheduler"],
  vue: ["vue", "@vitejs/plugin-vue", "vite"],
} as const;

const generate = (page: Page) => page.getByRole("button", { name: "Generate" });
const statuses = (page: Page) => page.getByRole("status");

for (const framework of ["react", "vue"] as const) {
  test(`the ${framework} example works in two tabs, and finds its tasks again after a reload`, async ({
    comfy,
    context,
    makeApp,
    serve,
  }) => {
    const app = makeApp(`examples/${framework}`);
    lend(app, parts[framework]);
    await build({ root: app.folder, logLevel: "error" });
    const url = `${await serve(join(app.folder, "dist"))}?server=${comfy.url}`;
    const [first, second] = [await context.newPage(), await context.newPage()];
    for (const page of [first, second]) await page.goto(url);
    await first.bringToFront();

    // Mounted twice by StrictMode, each tab has one link, and both share one socket.
    comfy.hold({ after: "execution_start" });
    await generate(first).click();
    await generate(first).click();
    await expect(statuses(first)).toHaveText(["running", "queued"]);
    await expect(statuses(second)).toHaveCount(0);
    expect(comfy.log.sockets).toHaveLength(1);

    await first.reload();
    await expect(statuses(first)).toHaveText(["running", "queued"]);
    comfy.release();
    await expect(statuses(first)).toHaveText(["succeeded", "succeeded"]);
    await expect(first.getByRole("img")).toHaveCount(2);

    // Unmounted, the tab has let go of its host, and its tasks are there when it comes back.
    await first.getByRole("button", { name: "Close" }).click();
    await expect.poll(() => locksOfTabs(second)).toBe(1);
    await first.getByRole("button", { name: "Open" }).click();
    await expect(statuses(first)).toHaveText(["succeeded", "succeeded"]);
    await expect.poll(() => locksOfTabs(second)).toBe(2);
    await first.getByRole("button", { name: "Dismiss" }).first().click();
    await expect(statuses(first)).toHaveCount(1);
    expect(comfy.log.prompts).toHaveLength(2);
    expect(comfy.log.sockets).toHaveLength(1);
  });
}

/** How many tabs hold a link to a host. */
const locksOfTabs = (page: Page): Promise<number> =>
  page.evaluate(async () => {
    const { held = [] } = await navigator.locks.query();
    return held.filter(({ name }) => name?.includes("/tab/")).length;
  });
