import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { chromium } from "@playwright/test";
import type { Visitor } from "../src/simulator/http-server.ts";
import { expect, type Tab, test } from "./fixtures.ts";
import { picture } from "./workflows.ts";

const errorAt = (tab: Tab): Promise<{ code: string; message: string } | undefined> =>
  tab.page.evaluate(() => window.tab.session().servers()[0]?.error);

const codeAt = async (tab: Tab) => (await errorAt(tab))?.code;

/** Something that is no ComfyUI, on a port of its own. */
async function somethingElse(headers: Record<string, string>) {
  const server = createServer((_, response) => {
    response.writeHead(200, { "Content-Type": "text/html", ...headers });
    response.end("<!doctype html><title>A router</title>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise((closed) => server.close(closed)),
  };
}

test.describe("a page on another origin", () => {
  test("is told that a ComfyUI without the flag lets no page in", async ({ startComfy, openTab }) => {
    const comfy = await startComfy({ cors: "off" });
    const tab = await openTab({ servers: [comfy.url] });
    await expect.poll(() => codeAt(tab)).toBe("cross-origin-blocked");
    expect((await errorAt(tab))?.message).toContain("--enable-cors-header");
  });

  test("is told that a ComfyUI lets pages of another origin in", async ({ startComfy, openTab }) => {
    const comfy = await startComfy({ cors: "http://other.example" });
    const tab = await openTab({ servers: [comfy.url] });
    await expect.poll(() => codeAt(tab)).toBe("origin-refused");
    const task = await tab.submit(picture());
    expect(await tab.page.evaluate((id) => window.tab.until(id, "warning"), task)).toBe(true);
    expect(comfy.log.requests.filter(({ method }) => method === "POST")).toEqual([]);
  });

  test("is told that nobody is there, or somebody else", async ({ openTab }) => {
    const [open, closed] = [
      await somethingElse({ "Access-Control-Allow-Origin": "*" }),
      await somethingElse({}),
    ];
    const nobody = await somethingElse({});
    await nobody.close();
    for (const [url, code] of [
      [open.url, "not-comfyui"],
      [closed.url, "cross-origin-blocked"],
      [nobody.url, "server-unreachable"],
    ] as const) {
      const tab = await openTab({ servers: [url] });
      await expect.poll(() => codeAt(tab)).toBe(code);
      expect((await errorAt(tab))?.message).toContain("port");
      await tab.page.close();
    }
    await open.close();
    await closed.close();
  });

  test("is told that a ComfyUI is too old", async ({ startComfy, openTab }) => {
    const comfy = await startComfy({ version: "0.3.30" });
    const tab = await openTab({ servers: [comfy.url] });
    await expect.poll(() => codeAt(tab)).toBe("server-too-old");
  });
});

test.describe("a server that wants a login", () => {
  test("asks for it, and takes the waiting task with another token", async ({ startComfy, openTab }) => {
    let token = "new";
    const comfy = await startComfy({ admits: ({ query }: Visitor) => query.get("token") === token });
    const tab = await openTab({ servers: [{ url: comfy.url, auth: { type: "query", token: "old" } }] });
    const task = await tab.submit(picture());
    await expect.poll(() => codeAt(tab)).toBe("unauthorized");
    await tab.page.evaluate(async () => {
      const session = window.tab.session();
      const { serverId } = await new Promise<{ serverId: string }>((resolve) => {
        session.on("auth-required", resolve);
      });
      await session.setAuth(serverId, { type: "query", token: "new" });
    });
    expect((await tab.ending(task)).type).toBe("succeeded");
    token = "newer";
    const later = await tab.submit(picture());
    await expect.poll(() => codeAt(tab)).toBe("unauthorized");
    await tab.page.evaluate(
      (id) => window.tab.session().setAuth(id, { type: "query", token: "newer" }),
      comfy.url,
    );
    expect((await tab.ending(later)).type).toBe("succeeded");
    expect(comfy.sockets).toHaveLength(1);
  });

  test("shows its files with a header that no image can send", async ({ startComfy, openTab }) => {
    const comfy = await startComfy({
      // As a proxy that cannot ask a browser's WebSocket for a header.
      admits: ({ headers }: Visitor) =>
        headers.upgrade !== undefined || headers.authorization === `Basic ${btoa("anna:pw")}`,
    });
    const auth = { type: "basic", username: "anna", password: "pw" };
    const tab = await openTab({ servers: [{ url: comfy.url, auth }] });
    const task = await tab.submit(picture());
    const { type, files } = await tab.ending(task);
    expect(type).toBe("succeeded");
    const size = await tab.page.evaluate(
      async (file) => (await createImageBitmap(await window.tab.session().fetchFile(file as never))).width,
      files?.[0],
    );
    expect(size).toBeGreaterThan(0);
  });
});

/** Only a worker of this page's own: the requests of a SharedWorker cannot be answered by a test. */
test("an https page is told that it may not use an http server elsewhere", async ({ context, site }) => {
  await context.route("https://app.example/**", async (route) => {
    const { pathname } = new URL(route.request().url());
    await route.fulfill({ response: await route.fetch({ url: new URL(pathname, site).href }) });
  });
  const page = await context.newPage();
  await page.goto("https://app.example/e2e/pages/tab.html");
  await page.waitForFunction(() => window.tab !== undefined);
  await page.evaluate(() => window.tab.open({ mode: "solo", servers: ["http://comfy.example:8188"] }));
  const code = () => page.evaluate(() => window.tab.session().servers()[0]?.error?.code);
  await expect.poll(code).toBe("mixed-content");
});

/** The site on a port of its own, whatever name it is asked by. */
async function served(site: string) {
  const server = createServer(async ({ url = "/" }, response) => {
    const answer = await fetch(new URL(url, site));
    response.writeHead(answer.status, { "Content-Type": answer.headers.get("content-type") ?? "" });
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

/** A page that Chromium takes for one on the internet: only such pages have to ask for the local network. */
test("a public page is told that the browser keeps it from this machine, until its user allows it", async ({
  startComfy,
  site,
}) => {
  const comfy = await startComfy();
  const proxy = await served(site);
  const { port } = proxy;
  const origin = `http://app.example:${port}`;
  const browser = await chromium.launch({
    ...test.info().project.use.launchOptions,
    args: [
      ...(test.info().project.use.launchOptions?.args ?? []),
      "--host-resolver-rules=MAP app.example 127.0.0.1",
      `--ip-address-space-overrides=127.0.0.1:${port}=public`,
      `--unsafely-treat-insecure-origin-as-secure=${origin}`,
    ],
  });
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(`${origin}/e2e/pages/tab.html`);
    await page.waitForFunction(() => window.tab !== undefined);
    await page.evaluate((url) => window.tab.open({ servers: [url] }), comfy.url);
    const code = () => page.evaluate(() => window.tab.session().servers()[0]?.error?.code);
    await expect.poll(code).toBe("local-network-blocked");
    await context.grantPermissions(["local-network-access"], { origin });
    await expect
      .poll(() => page.evaluate(() => window.tab.session().servers()[0]?.connection), { timeout: 40_000 })
      .toBe("open");
  } finally {
    await browser.close();
    proxy.close();
  }
});
