import { Agent, request } from "node:http";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { type Simulator, startSimulator } from "../../src/simulator/http-server.ts";
import { portrait } from "../workflows.ts";
import { type FaultyProxy, startProxy } from "./proxy.ts";

let comfy: Simulator;
let proxy: FaultyProxy;
let promptIds: (string | undefined)[];
let disturbed: string[];

beforeEach(async () => {
  comfy = await startSimulator();
  proxy = await startProxy(comfy.url);
  promptIds = [];
  disturbed = [];
  proxy.onDisturbed(({ path }) => disturbed.push(path));
  proxy.onDelivered(({ method, path, body }) => {
    if (method === "POST" && path === "/prompt") promptIds.push(JSON.parse(body.toString("utf8")).prompt_id);
  });
});

afterEach(async () => {
  await proxy.close();
  await comfy.close();
});

/** An answer's body, or the code with which its connection ended. */
function send(method: string, path: string, body?: object, agent = new Agent()): Promise<string> {
  return new Promise((resolve) => {
    const text = body === undefined ? "" : JSON.stringify(body);
    const sent = request(
      proxy.url + path,
      { method, agent, headers: { "Content-Length": Buffer.byteLength(text) } },
      (answer) => {
        let got = "";
        answer.on("data", (chunk) => {
          got += chunk;
        });
        answer.on("end", () => resolve(got));
      },
    );
    sent.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end(text);
  });
}

const [a, b] = ["6d1f6c1c-0c64-4a51-9d3e-0a2b1c3d4e5f", "0e2d7a52-93c4-4b8a-8f10-5a6b7c8d9e0f"];

const post = (promptId: string): Promise<string> =>
  send("POST", "/prompt", { prompt: portrait(), prompt_id: promptId });

interface Listener {
  readonly socket: WebSocket;
  readonly heard: string[];
  readonly closed: number[];
}

async function listen(name = "anna"): Promise<Listener> {
  const socket = new WebSocket(`${proxy.url.replace("http", "ws")}/ws?clientId=${name}`);
  const [heard, closed]: [string[], number[]] = [[], []];
  socket.on("message", (data, isBinary) => isBinary || heard.push(JSON.parse(String(data)).type));
  socket.on("close", (code) => closed.push(code));
  socket.on("error", () => {}); // it closes, too
  await vi.waitFor(() => expect(heard).toContain("status"));
  return { socket, heard, closed };
}

const webSockets = () => proxy.connections.filter(({ kind }) => kind === "websocket");

describe("a proxy", () => {
  test("passes requests, answers and sockets through", async () => {
    const anna = await listen();
    expect(await send("GET", "/system_stats")).toContain("comfyui_version");
    expect(JSON.parse(await post(a))).toMatchObject({ prompt_id: a });
    await vi.waitFor(() => expect(comfy.log.prompts[0]?.ending).toBe("success"));
    expect(promptIds).toEqual([a]);
    expect(disturbed).toEqual([]);
    expect(webSockets()).toHaveLength(1);
    anna.socket.close();
    await vi.waitFor(() => expect(anna.closed).toEqual([1005]));
    await vi.waitFor(() => expect(comfy.sockets).toEqual([]));
  });

  test("reads requests that share a connection, one by one", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await Promise.all(
      [a, b].map((id) => send("POST", "/prompt", { prompt: portrait(), prompt_id: id }, agent)),
    );
    agent.destroy();
    expect(promptIds).toEqual([a, b]);
  });

  test.each(["reset", "end"] as const)("cuts one connection with %s, and no other", async (how) => {
    const [anna, ben] = [await listen(), await listen("ben")];
    webSockets()[0]?.cut(how);
    await vi.waitFor(() => expect(anna.closed).toEqual([1006]));
    await vi.waitFor(() => expect(comfy.log.sockets[0]?.closedAt).toBeDefined());
    comfy.emit("news", {});
    await vi.waitFor(() => expect(ben.heard).toContain("news"));
    expect(webSockets()).toHaveLength(1);
  });

  test("freezes a connection: neither side is told anything, until it thaws", async () => {
    const [anna, ben] = [await listen(), await listen("ben")];
    webSockets()[0]?.freeze();
    comfy.emit("news", {});
    await vi.waitFor(() => expect(ben.heard).toContain("news"));
    expect(anna.heard).not.toContain("news");
    anna.socket.terminate();
    await vi.waitFor(() => expect(anna.closed).toEqual([1006]));
    ben.socket.close();
    await vi.waitFor(() => expect(comfy.log.sockets[1]?.closedAt).toBeDefined());
    expect(comfy.log.sockets[0]?.closedAt).toBeUndefined();
    webSockets()[0]?.thaw();
    await vi.waitFor(() => expect(comfy.log.sockets[0]?.closedAt).toBeDefined());
  });

  test("brings what was on its way when it thaws, in order", async () => {
    const anna = await listen();
    webSockets()[0]?.freeze();
    for (const type of ["one", "two", "three"]) comfy.emit(type, {});
    expect(await send("GET", "/system_stats")).toContain("comfyui_version");
    expect(anna.heard).not.toContain("one");
    proxy.clear();
    await vi.waitFor(() => expect(anna.heard.slice(-3)).toEqual(["one", "two", "three"]));
  });

  test("delays what goes through", async () => {
    proxy.delayMs = 100;
    const from = performance.now();
    await send("GET", "/system_stats");
    expect(performance.now() - from).toBeGreaterThanOrEqual(195);
  });

  test("refuses who arrives, or lets them wait", async () => {
    proxy.arriving = "refused";
    expect(await send("GET", "/system_stats")).toBe("ECONNRESET");
    proxy.arriving = "frozen";
    const waiting = send("GET", "/system_stats");
    await vi.waitFor(() => expect(proxy.connections.some(({ isFrozen }) => isFrozen)).toBe(true));
    proxy.clear();
    expect(await waiting).toContain("comfyui_version");
  });
});

describe("a planned fault", () => {
  test("hits the next request of its kind, once", async () => {
    proxy.plan("POST /prompt", { fault: "lose-request" });
    expect(await send("GET", "/prompt")).toContain("exec_info");
    expect(await post(a)).toBe("ECONNRESET");
    expect(proxy.planned).toBe(0);
    expect(JSON.parse(await post(b))).toMatchObject({ prompt_id: b });
    expect(promptIds).toEqual([b]);
  });

  test("loses an answer, not the request", async () => {
    proxy.plan("POST /prompt", { fault: "lose-answer" });
    expect(await post(a)).toBe("ECONNRESET");
    expect(comfy.log.prompts.map(({ promptId }) => promptId)).toEqual([a]);
    expect(disturbed).toEqual(["/prompt"]);
  });

  test("is not told apart from a server that dies before it answers: both disturb the request", async () => {
    comfy.faults.add({ fault: "lose-request", on: "POST /prompt" });
    expect(await post(a)).not.toContain(a);
    expect(disturbed).toEqual(["/prompt"]);
  });

  test("delivers a request after its sender has given up", async () => {
    proxy.plan("POST /prompt", { fault: "deliver-late", ms: 150 });
    expect(await post(a)).toBe("ECONNRESET");
    expect(comfy.log.prompts).toEqual([]);
    await vi.waitFor(() => expect(comfy.log.prompts.map(({ promptId }) => promptId)).toEqual([a]));
  });

  test("loses what a browser repeats of a request that comes late, and nothing else, until it has come", async () => {
    const prompt = portrait();
    const again = (): Promise<string> => send("POST", "/prompt", { prompt, prompt_id: a });
    proxy.plan("POST /prompt", { fault: "deliver-late", ms: 1_000, repeats: "lost" });
    expect(await again()).toBe("ECONNRESET");
    expect(await again()).toBe("ECONNRESET");
    expect(JSON.parse(await post(b))).toMatchObject({ prompt_id: b });
    await vi.waitFor(() => expect(promptIds).toEqual([b, a]), 5_000);
    expect(JSON.parse(await again())).toMatchObject({ prompt_id: a });
    expect(disturbed).toEqual(["/prompt", "/prompt"]);
  });

  test.each([undefined, 50])(
    "delivers a request twice, for one answer, the second after %s ms",
    async (ms) => {
      proxy.plan("POST /prompt", { fault: "twice", ...(ms === undefined ? {} : { ms }) });
      expect(JSON.parse(await post(a))).toMatchObject({ prompt_id: a });
      await vi.waitFor(() => expect(comfy.log.prompts.map(({ promptId }) => promptId)).toEqual([a, a]));
      expect(promptIds).toEqual([a, a]);
    },
  );

  test("delays a request", async () => {
    proxy.plan("POST /prompt", { fault: "delay", ms: 100 });
    const answer = post(a);
    await send("GET", "/system_stats");
    expect(comfy.log.prompts).toEqual([]);
    expect(JSON.parse(await answer)).toMatchObject({ prompt_id: a });
  });

  test("leaves a request without an answer until its connection thaws", async () => {
    proxy.plan("POST /prompt", { fault: "hang" });
    let answer = "none";
    void post(a).then((given) => {
      answer = given;
    });
    await vi.waitFor(() => expect(comfy.log.prompts[0]?.ending).toBe("success"));
    expect(answer).toBe("none");
    proxy.clear();
    await vi.waitFor(() => expect(answer).toContain(a));
  });
});
