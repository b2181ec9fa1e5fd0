import { encodePart } from "../../comfy/addresses.ts";
import { present } from "../../comfy/json.ts";
import type { HttpAnswer } from "../../core/facts.ts";
import type { Credentials } from "../accounts.ts";

export interface HttpRequest {
  readonly url: string;
  readonly method: "GET" | "POST";
  readonly body?: string;
  readonly timeoutMs: number;
}

export type FetchLike = (url: string, init: RequestInit) => Promise<Response>;

/** Longer answers are given up: they would have to be held as one string. */
export const answerLimitBytes = 64 * 1024 * 1024;

/** Adds the credential that travels in the address, where there is one. */
export function authorisedUrl(url: string, { query }: Credentials): string {
  if (!query) return url;
  const joint = url.includes("?") ? "&" : "?";
  return `${url}${joint}${encodePart(query.name)}=${encodePart(query.value)}`;
}

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
): Promise<HttpAnswer> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), request.timeoutMs);
  try {
    const response = await fetch(authorisedUrl(request.url, credentials), {
      ...authorisedInit(credentials),
      method: request.method,
      ...present({ body: request.body }),
      signal: deadline.signal,
    });
    return { status: response.status, text: await readText(response) };
  } catch {
    return { failure: deadline.signal.aborted ? "timeout" : "network" };
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
