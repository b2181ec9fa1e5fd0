import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, preview } from "vite";
import { expect, test } from "./fixtures.ts";

/** The example that the README promises to work when pasted. */
function readmeExample(): string {
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(
    ([, code]) => code,
  );
  const example = blocks.find((code) => code?.includes('from "comfy-tabs"'));
  if (!example) throw new Error("the README has no example");
  return example;
}

/** An empty Vite app with the package as npm would install it. */
function appWith(main: string): string {
  const app = mkdtempSync(join(tmpdir(), "comfy-tabs-app-"));
  const [packed] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--pack-destination", app], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }),
  ) as { filename: string }[];
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", `./${packed?.filename}`], {
    cwd: app,
    stdio: "ignore",
  });
  writeFileSync(join(app, "index.html"), '<!doctype html><script type="module" src="/main.ts"></script>');
  writeFileSync(join(app, "main.ts"), main);
  return app;
}

test("the package runs in an empty Vite app, as the README shows it, in two tabs over one socket", async ({
  comfy,
  context,
}) => {
  const example = readmeExample().replaceAll("http://127.0.0.1:8188", comfy.url);
  expect(example.trim().split("\n").length).toBeLessThanOrEqual(25);
  const app = appWith(example);
  try {
    await build({ root: app, configFile: false, logLevel: "error", build: { target: "es2022" } });
    const server = await preview({
      root: app,
      configFile: false,
      logLevel: "error",
      preview: { port: 0, host: "127.0.0.1" },
    });
    const url = server.resolvedUrls?.local[0] ?? "";
    const outputs = [1, 2].map(async () => {
      const page = await context.newPage();
      const result = page.waitForEvent("console", {
        predicate: (message) => message.type() === "log" && message.args().length === 2,
      });
      await page.goto(url);
      return (await result).args()[0]?.jsonValue();
    });
    expect(await Promise.all(outputs)).toEqual([{ "2": { text: ["1"] } }, { "2": { text: ["1"] } }]);
    expect(comfy.log.sockets).toHaveLength(1);
    await new Promise((closed) => server.httpServer.close(closed));
  } finally {
    rmSync(app, { recursive: true, force: true });
  }
});
