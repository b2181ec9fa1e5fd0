import type { FetchLike } from "../../worker/server/http.ts";
import type { OpenSocket, SocketLike } from "../../worker/server/socket.ts";

export interface Socket extends SocketLike {
  readonly url: string;
  closed: boolean;
}

/** A ComfyUI that answers what it is told to, and says only what the test has it say. */
export function createComfy() {
  const sockets: Socket[] = [];
  const prompts: {
    readonly promptId: string;
    readonly url: string;
    readonly body: Posted;
    readonly headers: RequestInit["headers"];
  }[] = [];
  const requests: string[] = [];
  const guarded = new Map<string, string>();
  const running = new Set<string>();
  const history = new Map<string, object>();
  const answers = new Map<string, () => Response | Promise<Response>>([
    ["/system_stats", () => json({ system: { comfyui_version: "0.30.0" } })],
    [
      "/queue",
      () => json({ queue_running: [...running].map((id) => [1, id, {}, {}, []]), queue_pending: [] }),
    ],
  ]);

  const fetch: FetchLike = async (url, init) => {
    const { pathname } = new URL(url);
    requests.push(`${init.method ?? "GET"} ${url}`);
    const token = guarded.get(pathname);
    if (token !== undefined && new Headers(init.headers).get("authorization") !== `Bearer ${token}`)
      return new Response("Log in", { status: 401 });
    const answer = answers.get(pathname);
    if (answer) return answer();
    if (pathname === "/prompt" && init.method === "POST") {
      const body = JSON.parse(String(init.body)) as Posted;
      prompts.push({ promptId: body.prompt_id, url, body, headers: init.headers });
      running.add(body.prompt_id);
      return json({ prompt_id: body.prompt_id, number: prompts.length, node_errors: {} });
    }
    const cancelled = /^\/api\/jobs\/([\w-]+)\/cancel$/.exec(pathname)?.[1];
    if (cancelled !== undefined) {
      const known = running.delete(cancelled);
      if (known) say("execution_interrupted", { prompt_id: cancelled, node_id: "1", executed: [] });
      if (known) say("executing", { node: null, prompt_id: cancelled });
      return json({ cancelled: known });
    }
    const past = /^\/history\/([\w-]+)$/.exec(pathname)?.[1];
    return json(past !== undefined && history.has(past) ? { [past]: history.get(past) } : {});
  };

  const openSocket: OpenSocket = (url) => {
    const socket: Socket = {
      url,
      closed: false,
      binaryType: "",
      onopen: null,
      onmessage: null,
      onclose: null,
      send() {},
      close() {
        socket.closed = true;
      },
    };
    sockets.push(socket);
    setImmediate(() => {
      if (socket.closed) return;
      socket.onopen?.({} as Event);
      hear(socket, "status", { status: { exec_info: { queue_remaining: 0 } } });
    });
    return socket;
  };

  function hear(socket: Socket, type: string, data: object): void {
    if (!socket.closed) socket.onmessage?.({ data: JSON.stringify({ type, data }) } as MessageEvent);
  }

  function say(type: string, data: object): void {
    for (const socket of sockets) hear(socket, type, data);
  }

  return {
    fetch,
    openSocket,
    sockets,
    prompts,
    /** Every request, as `GET http://…`. */
    requests,
    /** Paths with answers of the test's own. */
    answers,
    /** Paths that want a bearer's token, and which. */
    guarded,
    say,
    liveSockets: () => sockets.filter(({ closed }) => !closed).length,
    start: (promptId: string) => say("execution_start", { prompt_id: promptId }),
    progress: (promptId: string, value: number) =>
      say("progress", { prompt_id: promptId, node: "1", value, max: 10 }),
    finish(promptId: string) {
      running.delete(promptId);
      history.set(promptId, {
        outputs: {},
        status: { status_str: "success", completed: true, messages: [] },
      });
      say("execution_success", { prompt_id: promptId });
      say("executing", { node: null, prompt_id: promptId });
    },
    fail(promptId: string) {
      running.delete(promptId);
      const failure = {
        prompt_id: promptId,
        node_id: "1",
        node_type: "KSampler",
        exception_type: "ValueError",
        exception_message: "out of paper",
        traceback: [],
        executed: [],
      };
      history.set(promptId, {
        outputs: {},
        status: { status_str: "error", completed: false, messages: [["execution_error", failure]] },
      });
      say("execution_error", failure);
      say("executing", { node: null, prompt_id: promptId });
    },
  };
}

export interface Posted {
  readonly prompt_id: string;
  readonly client_id: string;
  readonly front?: boolean;
  readonly extra_data?: object;
}

export const json = (body: unknown): Response => new Response(JSON.stringify(body));

export type Comfy = ReturnType<typeof createComfy>;
