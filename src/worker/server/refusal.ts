import { asNumber, asObject, parseJson } from "../../comfy/json.ts";
import { diagnose, unauthorized } from "../../core/diagnosis.ts";
import { type WireError, wireError } from "../../protocol/errors.ts";
import type { Credentials } from "../accounts.ts";
import { askServer, type BlockOf, type FetchLike } from "./http.ts";

/** A server as a transfer sees it. */
export interface TransferServer {
  readonly url: string;
  /** The asking tab's own name for it. */
  readonly serverId: string;
  readonly credentials: Credentials;
  /** Tells why nothing answers, where it is the browser that forbids it. */
  readonly blockOf?: BlockOf;
}

/** What an answer that is not the wanted one means. */
export function refusal({ serverId, url }: TransferServer, status: number, text: string): WireError {
  const said = /^\s*</.test(text) ? "" : text.slice(0, 200).trim();
  switch (status) {
    case 401:
    case 403:
      return unauthorized(url, status, { serverId });
    case 404:
      return wireError("not-found", "The server has no such file.", { what: said || "file" });
    case 413:
      return wireError("too-large", "The file is larger than the server takes.", {});
    case 400:
      return wireError("invalid-option", `The server refused it: ${said}`, { option: "file" });
    default:
      return wireError("not-comfyui", `Not ComfyUI's answer: HTTP ${status} ${said}`.trim(), {
        serverId,
        url,
        status,
      });
  }
}

/**
 * Why a request had no readable answer. ComfyUI's 405, 413 and 500 carry no CORS headers, so to a page they
 * look like a server that is down (ComfyUI server.py); the cheapest question there is tells them apart.
 *
 * @param size of what was sent, in bytes
 */
export async function whyItFailed(
  fetch: FetchLike,
  server: TransferServer,
  size?: number,
): Promise<WireError> {
  const { serverId, url, credentials, blockOf } = server;
  const ask = (path: string, opaque?: true) =>
    askServer(fetch, { url: url + path, method: "GET", timeoutMs: 10_000, opaque }, credentials, blockOf);

  const probe = await ask("/prompt");
  const answers = "failure" in probe && "status" in (await ask("/prompt", true));
  const problem = diagnose(url, probe, answers ? "answers" : undefined, { serverId });
  if (problem) return problem;
  if (size !== undefined) {
    const features = await ask("/features");
    const limit = "text" in features && asNumber(asObject(parseJson(features.text)).max_upload_size);
    if (limit && size > limit)
      return wireError("too-large", `The server takes files of ${limit} bytes; this one has ${size}.`, {
        size,
        limit,
      });
  }
  return wireError("not-comfyui", `${url} is up, but failed at this request.`, { serverId, url });
}
