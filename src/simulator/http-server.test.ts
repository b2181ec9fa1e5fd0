import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type Simulator, type SimulatorOptions, startSimulator } from "./http-server.ts";

const started: Simulator[] = [];
afterEach(async () => {
  for (const simulator of started.splice(0)) await simulator.close();
});

async function start(options?: SimulatorOptions): Promise<Simulator> {
  const simulator = await startSimulator(options);
  started.push(simulator);
  return simulator;
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Not `fetch`, which does not send every header and target. @throws when the connection is reset */
function ask(url: string, path: string, headers: IncomingHttpHeaders = {}, method = "GET", body?: string) {
  const { hostname, port } = new URL(url);
  return new Promise<Reply>((resolve, reject) => {
    const asked = httpRequest({ hostname, port, path, method, headers, agent: false }, (response) => {
      let text = "";
      response.on("data", (part) => {
        text += part;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

interface Client {
  readonly kinds: string[];
  /** Resolves with its first frame, or the HTTP status with which it was refused. */
  readonly opened: Promise<string>;
  readonly closed: Promise<number>;
  heard(kind: string): Promise<void>;
}

function listen(url: string, path = "/ws?clientId=anna", headers: Record<string, string> = {}): Client {
  const socket = new WebSocket(url.replace("http", "ws") + path, { headers });
  const kinds: string[] = [];
  let look = (): void => {};
  socket.on("message", (frame) => {
    kinds.push(JSON.parse(String(frame)).type);
    look();
  });
  // What goes wrong also closes it.
  socket.on("error", () => look());
  return {
    kinds,
    opened: new Promise((resolve) => {
      socket.once("message", (frame) => resolve(JSON.parse(String(frame)).type));
      socket.once("unexpected-response", (_, response) => {
        resolve(String(response.statusCode));
        response.destroy();
      });
      socket.once("error", ({ message }) => resolve(message));
    }),
    closed: new Promise((resolve) => socket.once("close", resolve)),
    heard: (kind) =>
      new Promise((resolve) => {
        look = () => {
          if (kinds.includes(kind)) resolve();
        };
        look();
      }),
  };
}

const graph = (clientId: unknown): string =>
  JSON.stringify({
    prompt: {
      1: { class_type: "PrimitiveInt", inputs: { value: 1 } },
      2: { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
    },
    client_id: clientId,
  });

describe("whoever is not of this machine", () => {
  test.each(["evil.example", "evil.example:80", "127.0.0.1.evil.example", "192.168.0.7:8188"])(
    "and calls it %s is refused",
    async (host) => {
      const { url } = await start();
      expect((await ask(url, "/queue", { host })).status).toBe(403);
      expect(await listen(url, "/ws", { host }).opened).toBe("403");
    },
  );

  test.each(["localhost", "LOCALHOST:1234", "comfy.localhost", "127.0.0.1:8188", "[::1]:8188"])(
    "does not call it %s",
    async (host) => {
      const { url } = await start();
      expect((await ask(url, "/queue", { host })).status).toBe(200);
    },
  );
});

describe("pages of another origin", () => {
  const allowed = "access-control-allow-origin";
  const origin = "http://page.example";

  test("may read answers with the flag, but not those that an exception makes", async () => {
    const { url } = await start();
    for (const [path, status] of [
      ["/queue", 200],
      ["/no/such", 404],
    ] as const)
      expect(await ask(url, path, { origin })).toMatchObject({ status, headers: { [allowed]: "*" } });
    const broken = await ask(url, "/prompt", { origin }, "POST", "{not json");
    expect(broken.status).toBe(500);
    expect(broken.headers).not.toHaveProperty(allowed);
    expect((await ask(url, "/queue", { origin }, "DELETE")).headers).not.toHaveProperty(allowed);
    expect(await ask(url, "/prompt", { origin }, "OPTIONS")).toMatchObject({
      status: 200,
      headers: { "access-control-allow-headers": "Content-Type, Authorization" },
    });
  });

  test("may read them from the one origin that the flag names, and open sockets from any", async () => {
    const { url } = await start({ cors: "http://one.example" });
    expect(await ask(url, "/queue", { origin })).toMatchObject({
      status: 200,
      headers: { [allowed]: "http://one.example" },
    });
    expect(await listen(url, "/ws", { origin }).opened).toBe("status");
  });

  test("whom a proxy does not admit gets a 401 that a page may read, and no socket", async () => {
    const { url } = await start({
      admits: ({ headers, query }) => headers.authorization === "Bearer t" || query.get("key") === "t",
    });
    const refused = await ask(url, "/prompt", { origin });
    expect(refused).toMatchObject({ status: 401, headers: { [allowed]: "*" } });
    expect((await ask(url, "/prompt", { origin }, "OPTIONS")).status).toBe(200);
    expect((await ask(url, "/prompt", { authorization: "Bearer t" })).status).toBe(200);
    expect(await listen(url).opened).toBe("401");
    expect(await listen(url, "/ws?clientId=anna&key=t").opened).toBe("status");
  });

  test("are refused without the flag, and without a word that they could read", async () => {
    const { url } = await start({ cors: "off" });
    const { host } = new URL(url);
    const reply = await ask(url, "/queue", { origin });
    expect(reply.status).toBe(403);
    expect(reply.headers).not.toHaveProperty(allowed);
    expect(await listen(url, "/ws", { origin }).opened).toBe("403");
    expect((await ask(url, "/queue", { origin: url })).status).toBe(200);
    expect((await ask(url, "/queue", { origin: "null", host })).status).toBe(200);
  });

  test.each([
    ["0.33.0", 403],
    ["0.12.1", 200],
  ])("that the browser calls cross-site, %s answers with %i", async (version, status) => {
    const { url } = await start({ cors: "off", version });
    expect((await ask(url, "/queue", { "sec-fetch-site": "cross-site" })).status).toBe(status);
  });
});

describe("what no client should send", () => {
  test.each([
    ["//", 404],
    ["/%E0%A4%A", 404],
    ["/view?filename=%", 404],
    ["/api//", 404],
    ["*", 404],
    ["/history/%ff", 200],
  ])("%s is answered with %i, and the next request too", async (path, status) => {
    const { url } = await start();
    expect((await ask(url, path)).status).toBe(status);
    expect((await ask(url, "/queue")).status).toBe(200);
  });

  test("an upgrade of something else is refused, and one that breaks off does no harm", async () => {
    const { url } = await start();
    expect(await listen(url, "//").opened).toBe("404");
    const { hostname, port } = new URL(url);
    await new Promise<void>((closed) => {
      const tcp = connect(Number(port), hostname, () => {
        tcp.write(
          `GET /nowhere HTTP/1.1\r\nHost: ${hostname}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
        );
        tcp.resetAndDestroy();
      });
      tcp.once("close", () => closed());
    });
    expect((await ask(url, "/queue")).status).toBe(200);
  });
});

describe("misbehaviour over a real network", () => {
  test("a lost answer is a reset connection, and the prompt runs", async () => {
    const { url, faults, log } = await start();
    const anna = listen(url);
    await anna.opened;
    faults.add({ fault: "lose-answer", on: "POST /prompt", times: 1 });
    await expect(ask(url, "/prompt", {}, "POST", graph("anna"))).rejects.toThrow(/hang up|ECONNRESET/);
    await anna.heard("execution_success");
    expect(log.prompts).toMatchObject([{ clientId: "anna" }]);
    expect((await ask(url, "/prompt", {}, "POST", graph("anna"))).status).toBe(200);
  });

  test("a proxy's page is what it says, and can be read where it says so", async () => {
    const { url, faults } = await start();
    faults.add({ fault: "answer", status: 401, on: "GET /queue", cors: true });
    expect(await ask(url, "/queue")).toMatchObject({
      status: 401,
      headers: { "content-type": "text/html; charset=utf-8", "access-control-allow-origin": "*" },
    });
  });

  test("cut sockets end without a goodbye", async () => {
    const simulator = await start();
    const anna = listen(simulator.url);
    await anna.opened;
    simulator.cutSockets("anna");
    expect(await anna.closed).toBe(1006);
  });

  test("a restart cuts sockets and forgets the queue, at the same address", async () => {
    const simulator = await start();
    const anna = listen(simulator.url);
    await anna.opened;
    simulator.hold({ after: "queued" });
    await ask(simulator.url, "/prompt", {}, "POST", graph("anna"));
    simulator.restart();
    expect(await anna.closed).toBe(1006);
    expect(JSON.parse((await ask(simulator.url, "/queue")).body)).toEqual({
      queue_running: [],
      queue_pending: [],
    });
    expect(simulator.log.prompts).toMatchObject([{ removed: "restarted" }]);
  });

  test("stopped, it answers nobody until it is started", async () => {
    const simulator = await start();
    const anna = listen(simulator.url);
    await anna.opened;
    simulator.stop();
    expect(await anna.closed).toBe(1006);
    await expect(ask(simulator.url, "/queue")).rejects.toThrow(/hang up|ECONNRESET/);
    simulator.start();
    expect((await ask(simulator.url, "/queue")).status).toBe(200);
  });

  test("closed, it keeps no process alive for the prompt that it ran", async () => {
    const simulator = await start({ speed: 0.01 });
    const anna = listen(simulator.url);
    await anna.opened;
    const inputs = { steps: 10, delay_ms: 1000, preview: "none", preview_size: 64, seed: 1 };
    const prompt = {
      1: { class_type: "ProtoSteps", inputs },
      2: { class_type: "ProtoOut", inputs: { value: ["1", 1] } },
    };
    await ask(simulator.url, "/prompt", {}, "POST", JSON.stringify({ prompt, client_id: "anna" }));
    await anna.heard("executing");
    const timers = vi.spyOn(globalThis, "setTimeout");
    await simulator.close();
    await anna.closed;
    await new Promise((resolve) => setImmediate(resolve));
    simulator.release();
    expect(timers).not.toHaveBeenCalled();
    timers.mockRestore();
  });

  test("a client id that is an object ends the process, as Python's would", async () => {
    const simulator = await start();
    const anna = listen(simulator.url);
    await anna.opened;
    await ask(simulator.url, "/prompt", {}, "POST", graph({}));
    expect(await anna.closed).toBe(1006);
    expect(simulator.isUp).toBe(false);
    await expect(ask(simulator.url, "/queue")).rejects.toThrow(/hang up|ECONNRESET/);
    simulator.restart();
    expect((await ask(simulator.url, "/queue")).status).toBe(200);
  });
});
