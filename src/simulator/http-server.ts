import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { deflateSync } from "node:zlib";
import { type WebSocket, WebSocketServer } from "ws";
import { type Answer, type Request, splitTarget } from "./answers.ts";
import { type ComfyServer, type ComfyServerOptions, createComfyServer } from "./comfy-server.ts";
import { type Cors, corsHeaders, isLoopbackHost, isRefused } from "./origins.ts";
import { BodyTooLarge, readBody } from "./request-body.ts";

export interface SimulatorOptions extends ComfyServerOptions {
  /** Where it listens, on 127.0.0.1 only. @default 0: a free port */
  readonly port?: number;
  /** As ComfyUI's `--enable-cors-header`: every origin, one, or without the flag. @default "*" */
  readonly cors?: Cors;
  /** Whom a proxy before it lets in; the others get a 401 that any page may read. Default: everybody. */
  readonly admits?: (who: Visitor) => boolean;
}

/** What a request or a WebSocket says of who sends it. */
export interface Visitor {
  readonly headers: IncomingHttpHeaders;
  readonly query: URLSearchParams;
}

type Controls =
  | "version"
  | "faults"
  | "hold"
  | "release"
  | "emit"
  | "sockets"
  | "deafen"
  | "cutSockets"
  | "stallPublisher"
  | "resumePublisher"
  | "restart"
  | "isUp"
  | "log";

/** A {@link ComfyServer} behind real HTTP and WebSockets, on the real clock. */
export interface Simulator extends Pick<ComfyServer, Controls> {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** Nothing answers any more, until {@link Simulator.start}; queue, history and sockets are gone. */
  stop(): void;
  /** After {@link Simulator.stop}: at the same address, with an empty queue. */
  start(): void;
  close(): Promise<void>;
}

/** A socket that has not sent so much yet takes no more, and the publisher waits for it. */
const fullBytes = 4 * 1024 * 1024;
const largestMessage = 4 * 1024 * 1024;

/**
 * Starts a simulated ComfyUI. Whoever is not on this machine cannot reach it, and a `Host` header that is no
 * name of this machine is refused, whatever address it was resolved to.
 *
 * @throws Error where the port is taken
 */
export async function startSimulator({
  port = 0,
  cors = "*",
  admits = () => true,
  ...options
}: SimulatorOptions = {}): Promise<Simulator> {
  const startAt = options.startAt ?? Date.now();
  const server = createComfyServer({ startAt, deflate: (bytes) => deflateSync(bytes), ...options });
  const startedAt = performance.now();
  const now = (): number => startAt + performance.now() - startedAt;
  const connections = new Set<Socket>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let closed = false;

  /** Lets the server's clock catch up, does something to it, and comes back when it has something to do. */
  function act<T>(run: () => T): T {
    server.advanceTo(now());
    const result = run();
    server.advanceTo(now());
    clearTimeout(timer);
    const { nextAt } = server;
    // Sockets end after it was closed, too: nothing may keep the process alive then.
    if (nextAt !== undefined && !closed) timer = setTimeout(() => act(() => {}), Math.max(0, nextAt - now()));
    return result;
  }

  const isDown = (): boolean => stopped || !server.isUp;

  const http = createServer((request, response) => {
    void answer(request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  });
  http.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    if (isDown()) socket.destroy();
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "GET", url: target = "/", headers } = request;
    if (!isLoopbackHost(headers.host)) return send(response, { status: 403, body: "", cors: false });
    if (isRefused(headers, cors, server.version))
      return send(response, { status: 403, body: "", cors: false });
    if (method === "OPTIONS") return send(response, { status: 200, body: "", cors: true });
    if (!admits({ headers, query: splitTarget(target).query }))
      return send(response, { status: 401, body: "", headers: { "WWW-Authenticate": "Basic" }, cors: true });
    let body: Request["body"];
    try {
      body = await readBody(request);
    } catch (error) {
      if (!(error instanceof BodyTooLarge)) throw error;
      const text = "413: Request Entity Too Large";
      return send(response, {
        status: 413,
        contentType: "text/plain; charset=utf-8",
        body: text,
        cors: false,
      });
    }
    act(() =>
      server.exchange({ method, target, body }, (outcome) => {
        if (outcome === "reset" || isDown()) request.socket.destroy();
        else send(response, outcome, method);
      }),
    );
  }

  function send(response: ServerResponse, given: Answer, method = "GET"): void {
    const { status, contentType, body, headers, cors: readable } = given;
    response.writeHead(status, {
      ...(contentType ? { "Content-Type": contentType } : {}),
      ...(readable ? corsHeaders(cors) : {}),
      ...headers,
      ...(status >= 500 ? { Connection: "close" } : {}),
      "Content-Length": typeof body === "string" ? Buffer.byteLength(body) : body.byteLength,
    });
    response.end(method === "HEAD" ? undefined : body);
  }

  const webSockets = new WebSocketServer({
    noServer: true,
    maxPayload: largestMessage,
    perMessageDeflate: { zlibDeflateOptions: { level: 1 } },
  });
  http.on("upgrade", (request: IncomingMessage, tcp: Duplex, head: Buffer) => {
    // Node has let go of it: without this, a client that resets its connection would end the process.
    tcp.on("error", () => tcp.destroy());
    const { path, query } = splitTarget(request.url ?? "/");
    const refused = !isLoopbackHost(request.headers.host) || isRefused(request.headers, cors, server.version);
    if (isDown()) tcp.destroy();
    else if (refused) tcp.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    else if (!admits({ headers: request.headers, query }))
      tcp.end("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    else if (!/^(\/api)?\/ws$/.test(path)) tcp.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n");
    else
      webSockets.handleUpgrade(request, tcp, head, (socket) => register(socket, query.get("clientId") ?? ""));
  });

  function register(socket: WebSocket, clientId: string): void {
    let wasFull = false;
    const own = act(() =>
      server.connect(clientId, {
        frame(frame) {
          socket.send(frame, () => {
            if (wasFull && socket.bufferedAmount < fullBytes) act(server.wake);
          });
        },
        closed(code) {
          if (code === 1006) socket.terminate();
          else socket.close(code);
        },
        isFull() {
          wasFull = socket.bufferedAmount >= fullBytes;
          return wasFull;
        },
      }),
    );
    socket.on("message", (data: Buffer, isBinary) => {
      act(() => own.receive(isBinary ? new Uint8Array(data) : data.toString("utf8")));
    });
    socket.on("close", () => act(own.close));
    // What breaks a socket also closes it.
    socket.on("error", () => socket.terminate());
  }

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen(port, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;

  return {
    url,
    version: server.version,
    faults: server.faults,
    log: server.log,
    get sockets() {
      return server.sockets;
    },
    get isUp() {
      return !isDown();
    },
    hold: (hold) => act(() => server.hold(hold)),
    release: (promptId) => act(() => server.release(promptId)),
    emit: (type, data, to) => act(() => server.emit(type, data, to)),
    deafen: (clientId) => act(() => server.deafen(clientId)),
    cutSockets: (clientId) => act(() => server.cutSockets(clientId)),
    stallPublisher: () => act(server.stallPublisher),
    resumePublisher: () => act(server.resumePublisher),
    restart: () => act(server.restart),
    stop() {
      act(server.restart);
      stopped = true;
      for (const socket of connections) socket.destroy();
    },
    start() {
      stopped = false;
    },
    async close() {
      stopped = true;
      closed = true;
      clearTimeout(timer);
      for (const socket of webSockets.clients) socket.terminate();
      for (const socket of connections) socket.destroy();
      await new Promise((done) => http.close(done));
    },
  };
}
