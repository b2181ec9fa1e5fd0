import { type ClientRequest, type IncomingHttpHeaders, request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import type { Duplex } from "node:stream";

export type Headers = Readonly<Record<string, string>>;

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** Nobody answered; in the words of the system. */
export interface Silence {
  readonly failure: string;
  /** Somebody is there, but not with the https that was wanted, or not to be trusted. */
  readonly tls?: "none" | "untrusted";
}

const patienceMs = 10_000;
/** A queue is told with all its workflows. */
const longestText = 64 * 1024 * 1024;

/** Not `fetch`, which does not send an `Origin` on demand. */
function open(url: string, method: string, headers: Headers): ClientRequest {
  const request = url.startsWith("https:") ? tlsRequest : plainRequest;
  return request(url, { method, headers, agent: false, timeout: patienceMs });
}

/** One request, and what came of it. */
export function ask(url: string, headers: Headers, method = "GET", body = ""): Promise<Reply | Silence> {
  return new Promise((resolve) => {
    const asked = open(url, method, { ...headers, "Content-Length": String(Buffer.byteLength(body)) });
    asked.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        if (text.length < longestText) text += part;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
      );
      response.on("error", ({ message }) => resolve({ failure: message }));
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer in ${patienceMs / 1000} s`)));
    asked.on("error", (error) => resolve({ failure: inWords(error), ...tlsOf(error) }));
    asked.end(body);
  });
}

/** Several addresses of one name fail in one error without a message. */
const inWords = (error: Error & { code?: string }): string => error.message || (error.code ?? error.name);

function tlsOf({ code = "" }: Error & { code?: string }): Pick<Silence, "tls"> {
  if (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER") return { tls: "none" };
  return /CERT|SIGNATURE/.test(code) ? { tls: "untrusted" } : {};
}

export interface Hearing {
  /** 101: it is open. */
  readonly status: number;
  /** The types of what the server said on it. */
  readonly types: readonly string[];
}

/**
 * Opens a WebSocket, says one thing, and listens until the server has answered it, or has nothing to say.
 *
 * @param until the type of message that is waited for, for two seconds
 */
export function listen(
  url: string,
  headers: Headers,
  { say, until }: { say: string; until: string },
): Promise<Hearing | Silence> {
  return new Promise((resolve) => {
    const asked = open(url, "GET", {
      ...headers,
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": Buffer.from("comfy-tabs-doctor").subarray(0, 16).toString("base64"),
    });
    asked.on("response", (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, types: [] });
    });
    asked.on("upgrade", (_response, socket, head) => {
      const types: string[] = [];
      const end = (): void => {
        clearTimeout(timer);
        socket.destroy();
        resolve({ status: 101, types });
      };
      const timer = setTimeout(end, 2_000);
      socket.on("error", end);
      socket.on("close", end);
      readTexts(socket, head, (text) => {
        types.push(typeOf(text));
        if (types.includes(until)) end();
      });
      socket.write(maskedText(say));
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer in ${patienceMs / 1000} s`)));
    asked.on("error", (error) => resolve({ failure: inWords(error) }));
    asked.end();
  });
}

function typeOf(text: string): string {
  try {
    return String((JSON.parse(text) as { type?: unknown }).type);
  } catch {
    return "";
  }
}

/** The text frames of a server (RFC 6455): unmasked, and in one piece, as ComfyUI sends them. */
function readTexts(socket: Duplex, head: Buffer, take: (text: string) => void): void {
  let left = Buffer.alloc(0);
  const feed = (more: Buffer): void => {
    left = Buffer.concat([left, more]);
    for (;;) {
      const short = (left[1] ?? 0) & 0x7f;
      const start = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (left.length < start) return;
      const length =
        short === 126 ? left.readUInt16BE(2) : short === 127 ? Number(left.readBigUInt64BE(2)) : short;
      if (left.length < start + length) return;
      if (((left[0] ?? 0) & 0x0f) === 1) take(left.toString("utf8", start, start + length));
      left = left.subarray(start + length);
    }
  };
  socket.on("data", feed);
  feed(head);
}

/** A short text as a client sends it; a mask of zeros changes nothing. */
function maskedText(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, 0x80 | bytes.length, 0, 0, 0, 0]), bytes]);
}
