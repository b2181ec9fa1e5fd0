import { withQuery } from "../../comfy/addresses.ts";
import { present } from "../../comfy/json.ts";
import type { Block, HttpAnswer } from "../../core/facts.ts";
import { type Credentials, none } from "../accounts.ts";

export interface HttpRequest {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly body?: string;
  readonly timeoutMs: number;
  /** Without credentials, and whatever the answer is: it cannot be read. */
  readonly opaque?: true | undefined;
}

/** What the browser keeps this page from, of which no request tells. Never rejects. */
export type BlockOf = (url: string) => Promise<Block | undefined>;

export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;

/** Longer answers are given up: they would have to be held as one string. */
export const answerLimitBytes = 64 * 1024 * 1024;

/** What `fetch` needs to be who we are. ComfyUI's `*` for the origin forbids cookies, so they are never sent unasked. */
export const authorisedInit = ({ headers, cookies }: Credentials): RequestInit => ({
  headers,
  credentials: cookies ? "include" : "omit",
  cache: "no-store",
});

/** The body again, told chunk by chunk; an exception from `onChunk` gives it up. */
export function watchedBody({ body, headers }: Response, onChunk: (bytes: number) => void): Response {
  const watch = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, out) {
      onChunk(chunk.byteLength);
      out.enqueue(chunk);
    },
  });
  return new Response(body?.pipeThrough(watch) ?? null, { headers });
}

/**
 * Asks once, and always answers. A body goes as text/plain, which ComfyUI takes and which needs no preflight.
 * Whether "network" means that the server is down is not said here: a 500 without CORS headers looks the same.
 */
export async function askServer(
  fetch: FetchLike,
  request: HttpRequest,
  credentials: Credentials,
  blockOf?: BlockOf,
): Promise<HttpAnswer> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), request.timeoutMs);
  try {
    if (request.opaque) {
      const { status } = await fetch(request.url, {
        ...authorisedInit(none),
        mode: "no-cors",
        signal: deadline.signal,
      });
      return { status, text: "" };
    }
    const response = await fetch(withQuery(request.url, credentials.query), {
      ...authorisedInit(credentials),
      method: request.method,
      ...present({ body: request.body }),
      signal: deadline.signal,
    });
    return { status: response.status, text: await readText(response) };
  } catch {
    const block = await blockOf?.(request.url);
    return { failure: deadline.signal.aborted ? "timeout" : "network", ...present({ block }) };
  } finally {
    clearTimeout(timer);
  }
}

function readText(response: Response): Promise<string> {
  let bytes = 0;
  return watchedBody(response, (more) => {
    bytes += more;
    if (bytes > answerLimitBytes) throw new Error("too long an answer");
  }).text();
}
