import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type SimulatorOptions, startSimulator } from "../simulator/index.ts";
import { doctor } from "./doctor.ts";

const origin = "https://app.example";
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

async function start(options?: SimulatorOptions): Promise<string> {
  const simulator = await startSimulator(options);
  closers.push(() => simulator.close());
  return simulator.url;
}

async function somethingElse(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => new Promise((closed) => server.close(closed)));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function run(...words: string[]): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const code = await doctor(["doctor", ...words], (line) => lines.push(line));
  return { code, text: lines.join("\n") };
}

describe("the doctor", () => {
  test("finds a server well that lets every page in", async () => {
    const { code, text } = await run(await start(), "--origin", origin);
    expect(text).toContain("Version 0.33.0");
    expect(text).toContain(`Pages of ${origin} may read`);
    expect(text).toContain("The WebSocket opens and speaks");
    expect(text).toContain("uploads are there");
    expect(text).not.toContain("!!");
    expect(code).toBe(0);
  });

  test("says what it did not look at", async () => {
    const { code, text } = await run(await start({ cors: "off" }));
    expect(text).toContain("add --origin");
    expect(code).toBe(0);
  });

  test.each<[string, SimulatorOptions, string]>([
    ["has no flag for other origins", { cors: "off" }, `--enable-cors-header ${origin}`],
    ["keeps other origins from its WebSocket", { cors: "off" }, "check of the origin"],
    ["lets another origin in", { cors: "http://other.example" }, "of http://other.example"],
    ["is too old", { version: "0.3.30" }, "Update it to 0.3.42"],
    ["wants a login", { admits: () => false }, "wants a login (HTTP 401)"],
    [
      "wants a header for the WebSocket",
      { admits: ({ headers }) => headers.upgrade === undefined },
      "browsers send none",
    ],
  ])("sees that a server %s", async (_, options, said) => {
    const { code, text } = await run(await start(options), "--origin", origin);
    expect(text).toContain(said);
    expect(code).toBe(1);
  });

  test("logs in where it is told how", async () => {
    const url = await start({
      admits: ({ headers }) => headers.upgrade !== undefined || headers.authorization === "Bearer t",
    });
    expect((await run(url, "--origin", origin, "--header", "Authorization: Bearer t")).code).toBe(0);
    expect((await run(url, "--origin", origin, "--header", "Authorization: Bearer u")).code).toBe(1);
  });

  test.each([
    ["0.3.42", ["0.3.45", "0.3.57", "0.26"]],
    ["0.12.1", ["0.26"]],
    ["0.33.0", []],
  ])("tells what %s lacks", async (version, since) => {
    const { code, text } = await run(await start({ version }));
    expect([...new Set(text.match(/(?<=\()0\.\d+(\.\d+)?(?=\))/g))]).toEqual(since);
    expect(code).toBe(0);
  });

  test("sees that nobody is there, or something else", async () => {
    const other = await somethingElse((_, response) => response.end("<title>A router</title>"));
    expect(await run(other)).toMatchObject({ code: 1, text: expect.stringContaining("is not ComfyUI") });
    await closers.pop()?.();
    expect(await run(other)).toMatchObject({ code: 1, text: expect.stringContaining("Nothing answers") });
  });

  test("sees that a proxy keeps paths back, and passes on no upgrade", async () => {
    const comfy = await start();
    const proxy = await somethingElse(async ({ url = "" }, response) => {
      if (url.startsWith("/queue")) return response.writeHead(404).end();
      const answer = await fetch(comfy + url);
      return response.writeHead(answer.status).end(await answer.text());
    });
    const { code, text } = await run(proxy);
    expect(text).toContain("The WebSocket does not open");
    expect(text).toContain("let through: GET /queue");
    expect(code).toBe(1);
  });

  test("finds a long queue of large workflows well", async () => {
    const simulator = await startSimulator();
    closers.push(() => simulator.close());
    simulator.hold({ after: "queued" });
    const note = "x".repeat(700_000);
    for (const number of [1, 2, 3])
      await fetch(`${simulator.url}/prompt`, {
        method: "POST",
        body: JSON.stringify({
          prompt: {
            "1": { class_type: "PrimitiveInt", inputs: { value: number, control_after_generate: false } },
            "2": { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
          },
          extra_data: { extra_pnginfo: { note } },
        }),
      });
    expect(await run(simulator.url)).toMatchObject({ code: 0 });
  });

  test("logs in by a cookie, which a browser sends with its WebSocket, too", async () => {
    const url = await start({ admits: ({ headers }) => headers.cookie === "sid=1", cors: origin });
    const { code, text } = await run(url, "--origin", origin, "--header", "Cookie: sid=1");
    expect(text).toContain("The WebSocket opens and speaks");
    expect(code).toBe(0);
  });

  test("says where a server leads to that has moved", async () => {
    const moved = await somethingElse((_, response) =>
      response.writeHead(301, { location: "https://comfy.example/prompt" }).end(),
    );
    const { code, text } = await run(moved);
    expect(text).toContain("https://comfy.example");
    expect(text).not.toContain("is not ComfyUI");
    expect(code).toBe(1);
  });

  test("says that it is not https what answers", async () => {
    const { code, text } = await run((await start()).replace("http:", "https:"));
    expect(text).not.toContain("Nothing answers");
    expect(text).toContain("http://");
    expect(code).toBe(1);
  });

  test.skipIf(!hasOpenssl)("says that a certificate is not trusted", async () => {
    const folder = mkdtempSync(join(tmpdir(), "doctor-"));
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const made =
      "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2 -subj /CN=localhost";
    execFileSync("openssl", [...made.split(" "), "-keyout", key, "-out", cert], { stdio: "ignore" });
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) });
    rmSync(folder, { recursive: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closers.push(() => new Promise((closed) => server.close(closed)));
    const { code, text } = await run(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(text).toContain("certificate");
    expect(text).not.toContain("Nothing answers");
    expect(code).toBe(1);
  });

  test("warns of what browsers keep https pages from", async () => {
    const { text } = await run(await start(), "--origin", origin);
    expect(text).toContain("Chromium asks its user");
    expect(text).not.toContain("keep https pages");
  });

  test.each([
    [[], "address of a server is missing"],
    [["ftp://comfy.test"], "is no address"],
    [["http://a", "http://b"], '"http://b" is one too many'],
    [["http://a", "--origin", "no"], 'https://app.example, not "no"'],
    [["http://a", "--origin", "localhost:3000"], 'https://app.example, not "localhost:3000"'],
    [["http://a", "--header", "no"], '--header takes one such as "Authorization: Bearer …", not "no"'],
    [["http://a", "--header", "Authorization: Bearer …"], '"Authorization: Bearer …" has a character'],
    [["--what"], "Unknown option '--what'"],
  ])("does not take %j, and says why", async (words, said) => {
    const { code, text } = await run(...words);
    expect(text).toContain(said);
    expect(code).toBe(1);
  });

  test("says what it would take when it is asked, which is no failure", async () => {
    const { code, text } = await run("--help");
    expect(text).toContain("comfy-tabs doctor <address>");
    expect(code).toBe(0);
  });

  test("changes nothing at the server", async () => {
    const simulator = await startSimulator();
    closers.push(() => simulator.close());
    await run(simulator.url, "--origin", origin);
    const posts = simulator.log.requests.filter(({ method }) => method === "POST");
    expect(posts.map(({ target, status }) => [target, status])).toEqual([["/upload/image", 400]]);
    expect(simulator.sockets).toEqual([]);
  });
});
