import { describe, expect, test } from "vitest";
import { type ComfyServer, type ComfyServerOptions, createComfyServer } from "./comfy-server.ts";

interface Scene {
  readonly server: ComfyServer;
  /** What anna hears, in short. */
  readonly heard: string[];
  readonly closed: number[];
  submit(graph?: object, fields?: object): string;
  ask(path: string): unknown;
  /** The ids in the queue. */
  queued(): { running: string[]; pending: string[] };
}

function scene(options?: ComfyServerOptions): Scene {
  const server = createComfyServer(options);
  const heard: string[] = [];
  const closed: number[] = [];
  const connect = () =>
    server.connect("anna", {
      frame: (frame) => {
        const { type, data } = JSON.parse(String(frame));
        heard.push(type === "executing" ? `executing ${data.node}` : type);
      },
      closed: (code) => closed.push(code),
    });
  connect();
  return {
    server,
    heard,
    closed,
    submit(graph = simple(1), fields = {}) {
      const body = JSON.stringify({ prompt: graph, client_id: "anna", ...fields });
      return JSON.parse(String(server.request("POST", "/prompt", body).body)).prompt_id;
    },
    ask: (path) => JSON.parse(String(server.request("GET", path).body)),
    queued() {
      const { queue_running, queue_pending } = JSON.parse(String(server.request("GET", "/queue").body));
      const id = ([, promptId]: [number, string]): string => promptId;
      return { running: queue_running.map(id), pending: queue_pending.map(id) };
    },
  };
}

const simple = (value: number): object => ({
  1: { class_type: "PrimitiveInt", inputs: { value } },
  2: { class_type: "PreviewAny", inputs: { source: ["1", 0] } },
});
const slow = (ms: number): object => ({
  1: { class_type: "ProtoHang", inputs: { value: 1, ms } },
  2: { class_type: "ProtoOut", inputs: { value: ["1", 0] } },
});

describe("time", () => {
  test("passes only as it is told, and a run takes what its nodes take", () => {
    const { server, heard, submit } = scene();
    submit(slow(1000));
    server.advance(900);
    expect(heard.at(-1)).toBe("executing 1");
    server.advance(200);
    expect(heard.at(-1)).toBe("executing null");
    expect(server.nextAt).toBeUndefined();
  });

  test("of nodes is shorter on a faster server", () => {
    const { server, heard, submit } = scene({ speed: 10 });
    submit(slow(1000));
    server.advance(110);
    expect(heard.at(-1)).toBe("executing null");
  });

  test("and seed make everything: two servers do the same", () => {
    const [one, other] = [scene({ seed: 7 }), scene({ seed: 7 })].map(({ server, submit, heard }) => {
      const ids = [submit(), submit()];
      server.settle();
      return { ids, heard, at: server.now };
    });
    expect(one).toEqual(other);
    expect(scene({ seed: 8 }).submit()).not.toBe(one?.ids[0]);
  });
});

describe("a hold", () => {
  test("keeps a prompt that was picked up from starting, as if it ran", () => {
    const { server, heard, submit, queued } = scene();
    server.hold({ after: "queued" });
    const promptId = submit();
    expect(server.settle()).toBe(true);
    expect(heard).not.toContain("execution_start");
    expect(queued()).toEqual({ running: [promptId], pending: [] });
    server.release(promptId);
    server.settle();
    expect(heard.at(-1)).toBe("executing null");
  });

  test("stops a run after a message of a node, and another prompt's release does not lift it", () => {
    const { server, heard, submit } = scene();
    const promptId = submit();
    server.hold({ promptId, after: "executing", nodeId: "2" });
    server.settle();
    expect(heard.at(-1)).toBe("executing 2");
    server.release("another");
    server.settle();
    expect(heard.at(-1)).toBe("executing 2");
    server.release();
    server.settle();
    expect(heard.at(-1)).toBe("executing null");
  });
});

describe("what a test can do to it", () => {
  test("a stalled publisher keeps its frames while prompts run and HTTP answers", () => {
    const { server, heard, submit, ask } = scene();
    server.stallPublisher();
    const promptId = submit();
    server.settle();
    expect(heard).toEqual(["status"]);
    expect(ask(`/history/${promptId}`)).toHaveProperty(promptId);
    server.resumePublisher();
    server.settle();
    expect(heard.at(-1)).toBe("executing null");
  });

  test("events of custom nodes go to all or to one", () => {
    const { server, heard } = scene();
    server.emit("custom.all", {});
    server.emit("custom.anna", {}, "anna");
    server.emit("custom.ben", {}, "ben");
    server.settle();
    expect(heard).toEqual(["status", "custom.all", "custom.anna"]);
  });

  test("a restart forgets queue, history, cache and counter, cuts sockets, and keeps outputs", () => {
    const { server, closed, submit, ask } = scene();
    const saved = {
      1: { class_type: "EmptyImage", inputs: { width: 8, height: 8, batch_size: 1, color: 0 } },
      2: { class_type: "SaveImage", inputs: { images: ["1", 0], filename_prefix: "kept" } },
    };
    const done = submit(saved);
    server.settle();
    const [running, waiting] = [submit(slow(1000)), submit()];
    server.advance(10);
    server.restart();
    server.settle();
    expect(closed).toEqual([1006]);
    expect(ask("/queue")).toEqual({ queue_running: [], queue_pending: [] });
    expect(ask(`/history/${done}`)).toEqual({});
    expect(server.request("GET", "/view?filename=kept_00001_.png&type=output").status).toBe(200);
    const { number } = JSON.parse(
      String(server.request("POST", "/prompt", JSON.stringify({ prompt: simple(1) })).body),
    );
    expect(number).toBe(0);
    expect(server.log.prompts.map(({ promptId, removed }) => [promptId, removed]).slice(0, 3)).toEqual([
      [done, undefined],
      [running, "restarted"],
      [waiting, "restarted"],
    ]);
    expect(server.log.restarts).toBe(1);
  });
});

describe("its log", () => {
  test("tells of every prompt what became of it, and how often an id has run", () => {
    const { server, submit } = scene();
    const twice = "11111111-1111-4111-8111-111111111111";
    submit(simple(1), { prompt_id: twice });
    submit(simple(2), { prompt_id: twice });
    server.settle();
    const failed = submit({
      1: { class_type: "ProtoError", inputs: { value: 1, message: "x", delay_ms: 0, kind: "value" } },
      2: { class_type: "ProtoOut", inputs: { value: ["1", 0] } },
    });
    const deleted = submit();
    server.request("POST", "/queue", JSON.stringify({ delete: [deleted] }));
    server.settle();
    expect(server.log.runsOf(twice)).toBe(2);
    expect(server.log.runsOf(deleted)).toBe(0);
    expect(server.log.prompts.map(({ promptId, ending, removed }) => [promptId, ending ?? removed])).toEqual([
      [twice, "success"],
      [twice, "success"],
      [failed, "error"],
      [deleted, "deleted"],
    ]);
  });

  test("counts frames by socket, type and prompt", () => {
    const { server, heard, submit } = scene();
    const promptId = submit();
    server.settle();
    const [socket] = server.log.sockets;
    expect(socket).toMatchObject({ clientId: "anna", frames: { status: 4, executing: 3, executed: 1 } });
    expect(server.log.framesSent).toBe(heard.length);
    expect(socket?.framesByPrompt[promptId]).toBe(heard.filter((kind) => kind !== "status").length);
    expect(server.log.frames.map(({ type }) => type)).toEqual(heard.map((word) => word.split(" ")[0]));
  });
});

test.each([
  [
    "a link to nowhere, in an input that the class does not have",
    { ...simple(1), 3: { class_type: "PreviewAny", inputs: { source: 1, bogus: ["99", 0] } } },
    "execution_cached",
  ],
  [
    "a node without inputs, also where no output needs it",
    { ...simple(1), 3: { class_type: "PrimitiveInt" } },
    "execution_start",
  ],
])("%s, ends the worker thread: the prompt runs for ever, and nothing ends it", (_, graph, last) => {
  const { server, heard, submit, queued } = scene();
  const promptId = submit(graph);
  const behind = submit();
  server.settle();
  server.request("POST", "/interrupt", "{}");
  server.settle();
  expect(heard.filter((kind) => kind !== "status").at(-1)).toBe(last);
  expect(queued()).toEqual({ running: [promptId], pending: [behind] });
  expect(server.log.prompts[0]).toMatchObject({ promptId, removed: "stuck" });
});
