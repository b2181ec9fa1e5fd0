import { asObject, asString, parseJson } from "../../comfy/json.ts";
import { readQueueRemaining } from "../../comfy/queue.ts";
import { type WireError, wireError } from "../../protocol/errors.ts";
import type { Answer, UploadedFile, UploadRequest } from "../../protocol/session-api.ts";
import type { Credentials } from "../accounts.ts";
import { askServer, authorisedInit, authorisedUrl, type FetchLike } from "./http.ts";

/** A server as a transfer sees it. */
export interface TransferServer {
  readonly url: string;
  readonly serverId: string;
  readonly credentials: Credentials;
}

/** `POST /upload/image` and `/upload/mask` (ComfyUI server.py). The server may choose another name. */
export async function upload(
  server: TransferServer,
  request: UploadRequest,
  file: Blob,
  { signal, onProgress, newRequest, fetch }: UploadMeans,
): Promise<Answer<UploadedFile>> {
  const form = new FormData();
  form.set("image", file, request.filename);
  form.set("type", request.type ?? "input");
  if (request.subfolder) form.set("subfolder", request.subfolder);
  if (request.overwrite) form.set("overwrite", "true");
  if (request.original) form.set("original_ref", JSON.stringify(request.original));
  const url = authorisedUrl(`${server.url}/upload/${request.kind}`, server.credentials);
  try {
    const { status, text } = await sendForm(newRequest(), url, form, server.credentials, signal, onProgress);
    if (status !== 200) return { error: refusal(server.serverId, status, text) };
    const said = asObject(parseJson(text));
    const name = asString(said.name);
    if (name === undefined) return { error: refusal(server.serverId, status, text) };
    const subfolder = asString(said.subfolder) ?? "";
    return {
      ok: {
        name,
        subfolder,
        type: asString(said.type) ?? "input",
        serverId: server.serverId,
        input: subfolder === "" ? name : `${subfolder}/${name}`,
      },
    };
  } catch {
    return { error: await failure(fetch, server, signal) };
  }
}

export interface UploadMeans {
  readonly signal: AbortSignal;
  readonly onProgress: (loaded: number, total: number) => void;
  /** `fetch` tells no upload progress. */
  readonly newRequest: () => XMLHttpRequest;
  readonly fetch: FetchLike;
}

function sendForm(
  request: XMLHttpRequest,
  url: string,
  form: FormData,
  { headers, cookies }: Credentials,
  signal: AbortSignal,
  onProgress: UploadMeans["onProgress"],
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    request.open("POST", url);
    request.withCredentials = cookies;
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded, total);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = request.onabort = () => reject(new Error("upload failed"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

export async function fetchFile(
  fetch: FetchLike,
  server: TransferServer,
  path: string,
  signal: AbortSignal,
): Promise<Answer<Blob>> {
  try {
    const url = authorisedUrl(server.url + path, server.credentials);
    const response = await fetch(url, { ...authorisedInit(server.credentials), signal });
    if (response.ok) return { ok: await response.blob() };
    return { error: refusal(server.serverId, response.status, await response.text()) };
  } catch {
    return { error: await failure(fetch, server, signal) };
  }
}

/** `/object_info` of every server once for all tabs: it has megabytes. A failure is not kept. */
export function createObjectInfo(fetch: FetchLike) {
  const texts = new Map<string, Promise<Answer<string>>>();

  async function read(server: TransferServer): Promise<Answer<string>> {
    const request = { url: `${server.url}/object_info`, method: "GET", timeoutMs: 120_000 } as const;
    const answer = await askServer(fetch, request, server.credentials);
    if ("failure" in answer) return { error: await failure(fetch, server) };
    return answer.status === 200
      ? { ok: answer.text }
      : { error: refusal(server.serverId, answer.status, answer.text) };
  }

  return {
    get(key: string, server: TransferServer): Promise<Answer<string>> {
      const known = texts.get(key);
      if (known) return known;
      const reading = read(server);
      texts.set(key, reading);
      void reading.then((answer) => "error" in answer && texts.delete(key));
      return reading;
    },
    /** The server may have other nodes now. */
    forget: (key: string): boolean => texts.delete(key),
  };
}

function refusal(serverId: string, status: number, text: string): WireError {
  const said = text.startsWith("<") ? "" : text.slice(0, 200).trim();
  if (status === 401 || status === 403)
    return wireError("unauthorized", `The server wants credentials (HTTP ${status}).`, { serverId, status });
  if (status === 404) return wireError("not-found", "The server has no such file.", { what: said || "file" });
  if (status === 413) return wireError("too-large", "The file is larger than the server takes.", {});
  if (status === 400)
    return wireError("invalid-option", `The server refused it: ${said}`, { option: "file" });
  return wireError("not-comfyui", `Not ComfyUI's answer: HTTP ${status} ${said}`, { serverId, status });
}

/** A failed request may be an answer without CORS headers: ComfyUI's 405, 413 and 500 are. So it is asked again. */
async function failure(fetch: FetchLike, server: TransferServer, signal?: AbortSignal): Promise<WireError> {
  if (signal?.aborted) return wireError("aborted", "The transfer was aborted.", {});
  const { serverId, url } = server;
  const probe = { url: `${url}/prompt`, method: "GET", timeoutMs: 10_000 } as const;
  const answer = await askServer(fetch, probe, server.credentials);
  if ("status" in answer && readQueueRemaining(answer.text) !== undefined)
    return wireError(
      "not-comfyui",
      `${url} is up, but failed at this request (too large, or its own error).`,
      {
        serverId,
        url,
      },
    );
  return wireError("server-unreachable", `Nothing answers at ${url}.`, { serverId, url });
}
