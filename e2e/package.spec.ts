import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, preview } from "vite";
import { expect, test } from "./fixtures.ts";

const npm = (args: readonly string[], cwd: string): string =>
  execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], timeout: 60_000 });

/** The example that the README promises to work when pasted. */
function readmeExample(): string {
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map(
    ([, code]) => code,
  );
  const example = blocks.find((code) => code?.includes('from "comfy-tabs"'));
  if (!example) throw new Error("the README has no example");
  return example;
}

/** An empty Vite app with the package as npm installs it; what it depends on is packed from here, too. */
function appWith(main: string): string {
  const app = mkdtempSync(join(tmpdir(), "comfy-tabs-app-"));
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: object };
  const tarballs = [".", ...Object.keys(dependencies).map((name) => `./node_modules/${name}`)].map(
    (folder) => {
      const made = npm(["pack", folder, "--json", "--ignore-scripts", "--pack-destination", app], ".");
      return `./${(JSON.parse(made) as { filename: string }[])[0]?.filename}`;
    },
  );
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  npm(["install", "--no-audit", "--no-fund", "--offline", ...tarballs], app);
  writeFileSync(join(app, "index.html"), '<!doctype html><script type="module" src="/main.ts"></script>');
  writeFileSync(join(app, "main.ts"), main);
  return app;
}

test("the package runs in an empty Vite app, as the README shows it, in two tabs over one socket", async ({
  comfy,
  context,
}) => {
  test.setTimeout(180_000);
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
