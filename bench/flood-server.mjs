import { createServer } from "node:http";
import { WebSocketServer } from "ws";

/** Messages of which the server never has enough. A session hears them when its `broadcastTypes` lists the type. */
const customType = "bench.tick";
const filler = "abcdefghijklmnopqrstuvwxyz012345";
const closed = 3;

/** Milliseconds of the machine's monotonic clock: pages find their offset to it by asking. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

/**
 * A ComfyUI that runs nothing and says as much as it is told to, as fast as a socket takes it.
 * It speaks as much of ComfyUI's language as a client needs to accept it (`/ws`, `/prompt`, `/queue`,
 * `/history`, `/api/jobs`, `/system_stats`); the page that measures gives its orders on a socket at `/orders`.
 * Frames are not compressed: that costs an own socket and a relayed one the same.
 */
export async function startFloodServer() {
  /** @type {Map<string, { ws: import("ws").WebSocket, tcp: import("node:net").Socket }>} */
  const sockets = new Map();
  /** @type {Map<string, { number: number, clientId: string, running: boolean, go?: () => void, credit?: () => void }>} */
  const prompts = new Map();

  const say = (clientId, message) => sockets.get(clientId)?.ws.send(JSON.stringify(message));
  const tellPrompt = (promptId, type, data = {}) =>
    say(promptOf(promptId).clientId, { type, data: { ...data, prompt_id: promptId } });
  const sayStatusToAll = () => {
    for (const clientId of sockets.keys()) say(clientId, status());
  };
  const running = () => [...prompts].filter(([, prompt]) => prompt.running);
  const status = () => ({
    type: "status",
    data: { status: { exec_info: { queue_remaining: running().length } } },
  });

  function promptOf(promptId) {
    const prompt = prompts.get(promptId);
    if (!prompt) throw new Error(`Nobody has sent the prompt ${promptId}`);
    return prompt;
  }

  // --- HTTP: what a client asks before it trusts a server

  const http = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (request.method === "OPTIONS") return answer(response, 200, {});
    const path = pathname.replace(/^\/api\/(?!jobs)/, "/");
    const [, first, second, third] = path.split("/");
    if (request.method === "POST" && path === "/prompt")
      return acceptPrompt(response, await readJson(request));
    if (path === "/prompt") return answer(response, 200, status().data.status);
    if (path === "/system_stats")
      return answer(response, 200, { system: { os: "bench", comfyui_version: "0.33.0" }, devices: [] });
    if (path === "/features") return answer(response, 200, { supports_preview_metadata: true });
    if (path === "/object_info") return answer(response, 200, {});
    if (path === "/queue") {
      const queue_running = running().map(([id, { number, clientId }]) => [
        number,
        id,
        {},
        { client_id: clientId },
        ["1"],
      ]);
      return answer(response, 200, { queue_running, queue_pending: [] });
    }
    if (first === "history") return answer(response, 200, historyOf(second));
    if (first === "api" && second === "jobs") {
      const prompt = prompts.get(third ?? "");
      if (!prompt) return answer(response, 404, { error: "Job not found" });
      return answer(response, 200, { id: third, status: prompt.running ? "in_progress" : "completed" });
    }
    return answer(response, 404, { error: "not found" });
  });

  function acceptPrompt(response, { client_id: clientId, prompt_id: promptId }) {
    const number = prompts.size;
    prompts.set(promptId, { number, clientId, running: true });
    answer(response, 200, { prompt_id: promptId, number, node_errors: {} });
    sayStatusToAll();
    tellPrompt(promptId, "execution_start", { timestamp: Date.now() });
    tellPrompt(promptId, "execution_cached", { nodes: [], timestamp: Date.now() });
    tellPrompt(promptId, "executing", { node: "1", display_node: "1" });
  }

  function historyOf(promptId) {
    const prompt = prompts.get(promptId);
    if (!prompt || prompt.running) return {};
    return {
      [promptId]: {
        prompt: [prompt.number, promptId, {}, { client_id: prompt.clientId }, ["1"]],
        outputs: {},
        status: { status_str: "success", completed: true, messages: [] },
        meta: {},
      },
    };
  }

  // --- Orders: what is to be sent to the socket of a prompt's client

  const orders = {
    clock: (_order, reply) => reply({ at: now() }),

    /** Distinct nodes, so that no message may replace another. */
    executed: ({ promptId, count }, reply) =>
      stagePour(promptId, count, reply, (n) => executed(promptId, n, filler)),

    custom: ({ promptId, count }, reply) =>
      stagePour(promptId, count, reply, (n) => ({
        type: customType,
        data: { node: String(n), text: [filler] },
      })),

    /** One node's bar, from 1 to `count`: the newest is all that anybody wants to see. */
    progress: ({ promptId, count }, reply) =>
      stagePour(promptId, count, reply, (n) => ({
        type: "progress",
        data: { value: n, max: count, prompt_id: promptId, node: "1" },
      })),

    /** One message every `everyMs`, with the time at which it was sent. */
    paced: ({ promptId, count, everyMs }, reply) =>
      stage(promptId, reply, () => {
        const { clientId } = promptOf(promptId);
        let sent = 0;
        const timer = setInterval(() => {
          sent += 1;
          if (sent === count) clearInterval(timer);
          say(clientId, executed(promptId, sent, String(now())));
        }, everyMs);
      }),

    /** Never more than `window` under way: `preview-taken` asks for the next. */
    previews: ({ promptId, count, bytes, window }, reply) => {
      const prompt = promptOf(promptId);
      const socket = sockets.get(prompt.clientId);
      const frames = Array.from({ length: window * 2 }, (_, n) => preview(promptId, String(n + 1), bytes));
      let sent = 0;
      prompt.credit = () => {
        if (sent === count) return;
        socket?.ws.send(frames[sent % frames.length], { binary: true });
        sent += 1;
      };
      stage(promptId, reply, () => {
        for (let n = 0; n < window; n += 1) prompt.credit?.();
      });
    },
    "preview-taken": ({ promptId }) => promptOf(promptId).credit?.(),

    /** Begins what was staged. */
    go: ({ promptId }) => promptOf(promptId).go?.(),

    finish: ({ promptId }) => {
      promptOf(promptId).running = false;
      tellPrompt(promptId, "execution_success", { timestamp: Date.now() });
      sayStatusToAll();
      tellPrompt(promptId, "executing", { node: null });
    },
  };

  function stage(promptId, reply, go) {
    promptOf(promptId).go = go;
    reply({ ready: true });
  }

  /** Encoded beforehand and written at once: what is measured is how fast the other side reads. */
  function stagePour(promptId, count, reply, messageOf) {
    const socket = sockets.get(promptOf(promptId).clientId);
    if (!socket) throw new Error("The prompt's client has no socket");
    const frames = Array.from({ length: count }, (_, n) => Buffer.from(JSON.stringify(messageOf(n + 1))));
    stage(promptId, reply, () => {
      socket.tcp.cork();
      for (const frame of frames) socket.ws.send(frame, { binary: false });
      socket.tcp.uncork();
    });
  }

  // --- WebSocket

  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  http.on("upgrade", (request, tcp, head) => {
    tcp.setNoDelay(true);
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
    wss.handleUpgrade(request, tcp, head, (ws) => {
      if (pathname === "/orders") takeOrders(ws);
      else register(searchParams.get("clientId") ?? "", ws, tcp);
    });
  });

  function register(clientId, ws, tcp) {
    sockets.set(clientId, { ws, tcp });
    const first = status();
    say(clientId, { ...first, data: { ...first.data, sid: clientId } });
    ws.on("message", () =>
      say(clientId, { type: "feature_flags", data: { supports_preview_metadata: true } }),
    );
    ws.on("close", () => {
      if (sockets.get(clientId)?.ws === ws) sockets.delete(clientId);
    });
  }

  function takeOrders(ws) {
    ws.on("message", (text) => {
      const order = JSON.parse(text.toString());
      const reply = (body) => ws.send(JSON.stringify({ id: order.id, ...body }));
      try {
        orders[order.do](order, reply);
      } catch (error) {
        reply({ error: String(error) });
      }
    });
  }

  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${http.address().port}`,
    close: () => {
      for (const ws of wss.clients) if (ws.readyState !== closed) ws.terminate();
      http.closeAllConnections();
      http.close();
    },
  };
}

const executed = (promptId, n, text) => ({
  type: "executed",
  data: { node: String(n), display_node: String(n), output: { text: [text] }, prompt_id: promptId },
});

/** A type-4 frame: event type, length of the JSON, JSON, image (ComfyUI protocol.py, server.py). */
function preview(promptId, nodeId, bytes) {
  const about = Buffer.from(
    JSON.stringify({
      node_id: nodeId,
      prompt_id: promptId,
      display_node_id: nodeId,
      parent_node_id: null,
      real_node_id: nodeId,
      image_type: "image/jpeg",
    }),
  );
  const frame = Buffer.alloc(8 + about.length + bytes, 0x55);
  frame.writeUInt32BE(4, 0);
  frame.writeUInt32BE(about.length, 4);
  about.copy(frame, 8);
  frame.set([0xff, 0xd8, 0xff, 0xe0], 8 + about.length);
  return frame;
}

async function readJson(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function answer(response, code, body) {
  response.writeHead(code, {
    "content-type": "application/json",
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET, DELETE, PUT, OPTIONS, PATCH",
    "access-control-allow-headers": "Content-Type, Authorization",
  });
  response.end(JSON.stringify(body));
}
