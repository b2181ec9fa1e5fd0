import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { build, createServer } from "vite";
import { lend } from "./packaged/app.ts";
import { expect, test } from "./packaged/fixtures.ts";

const parts = {
  react: ["react", "react-dom", "scheduler", "@vitejs/plugin-react", "vite"],
  vue: ["vue", "@vitejs/plugin-vue", "vite"],
} as const;

const imports = {
  react: ["react", "react/jsx-dev-runtime", "react-dom/client", "comfy-tabs/react"],
  vue: ["vue", "comfy-tabs/vue"],
} as const;

const panels = { react: "src/studio.tsx", vue: "src/StudioPanel.vue" } as const;

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

for (const framework of ["react", "vue"] as const)
  test(`the ${framework} example keeps one link and its tasks when it is mounted twice, and when its code changes`, async ({
    comfy,
    context,
    makeApp,
  }) => {
    const app = makeApp(`examples/${framework}`);
    lend(app, parts[framework]);
    // A build in this process has set it to production, where nothing is mounted twice or reloaded hot.
    const { NODE_ENV } = process.env;
    process.env.NODE_ENV = "development";
    const server = await createServer({
      root: app.folder,
      logLevel: "error",
      server: { port: 0, host: "127.0.0.1" },
      // What Vite finds only later makes it load the page anew.
      optimizeDeps: { include: [...imports[framework]] },
    });
    await server.listen();
    try {
      const page = await context.newPage();
      await page.goto(`${server.resolvedUrls?.local[0]}?server=${comfy.url}`);
      comfy.hold({ after: "execution_start" });
      await generate(page).click();
      await expect(statuses(page)).toHaveText("running");
      expect(await locksOfTabs(page)).toBe(1);

      await page.evaluate(() => document.body.setAttribute("data-loaded", "once"));
      const panel = panels[framework];
      const code = readFileSync(join(app.folder, panel), "utf8");
      app.write({ [panel]: code.replace("Generate", "Paint") });
      await expect(page.getByRole("button", { name: "Paint" })).toBeEnabled();
      await expect(statuses(page)).toHaveText("running");
      comfy.release();
      await expect(statuses(page)).toHaveText("succeeded");
      expect(await locksOfTabs(page)).toBe(1);
      expect(await page.locator("body").getAttribute("data-loaded")).toBe("once");
      expect([comfy.log.sockets.length, comfy.log.prompts.length]).toEqual([1, 1]);
    } finally {
      await server.close();
      if (NODE_ENV === undefined) delete process.env.NODE_ENV;
      else process.env.NODE_ENV = NODE_ENV;
    }
  });

/** How many tabs hold a link to a host. */
const locksOfTabs = (page: Page): Promise<number> =>
  page.evaluate(async () => {
    const { held = [] } = await navigator.locks.query();
    return held.filter(({ name }) => name?.includes("/tab/")).length;
  });
