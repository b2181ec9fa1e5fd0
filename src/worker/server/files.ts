import { withQuery } from "../../comfy/addresses.ts";
import { asObject, asString, parseJson } from "../../comfy/json.ts";
import { type WireError, wireError } from "../../protocol/errors.ts";
import type { Answer, UploadedFile, UploadRequest } from "../../protocol/session-api.ts";
import type { Credentials } from "../accounts.ts";
import { authorisedInit, type FetchLike, watchedBody } from "./http.ts";
import { refusal, type TransferServer, whyItFailed } from "./refusal.ts";

/** The part of an `XMLHttpRequest` that is used: `fetch` tells no upload progress. */
export interface UploadRequestLike {
  withCredentials: boolean;
  readonly status: number;
  readonly responseText: string;
  readonly upload: { onprogress: ((event: ProgressEvent) => void) | null };
  onload: ((event: ProgressEvent) => void) | null;
  onerror: ((event: ProgressEvent) => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  send(body: FormData): void;
  abort(): void;
}

export interface UploadMeans {
  readonly signal: AbortSignal;
  readonly onProgress: (loaded: number, total: number) => void;
  readonly newRequest: (() => UploadRequestLike) | undefined;
  readonly fetch: FetchLike;
}

/** A transfer in which nothing moves for so long is given up. */
const stallMs = 120_000;

/** `POST /upload/image` and `/upload/mask` (ComfyUI server.py). The server may choose another name. */
export async function upload(
  server: TransferServer,
  request: UploadRequest,
  file: Blob,
  { signal, onProgress, newRequest, fetch }: UploadMeans,
): Promise<Answer<UploadedFile>> {
  const url = withQuery(`${server.url}/upload/${request.kind}`, server.credentials.query);
  const watch = watchMovement(signal);
  const progressed = (loaded: number, total: number): void => {
    watch.moved();
    onProgress(loaded, total);
  };
  try {
    const form = formOf(request, file);
    const { status, text } = await (newRequest
      ? sendForm(newRequest(), url, form, server.credentials, watch.signal, progressed)
      : fetchForm(fetch, url, form, server.credentials, watch.signal));
    const uploaded = status === 200 ? readUploaded(text, server.serverId) : undefined;
    return uploaded ? { ok: uploaded } : { error: refusal(server, status, text) };
  } catch {
    return { error: watch.givenUp() ?? (await whyItFailed(fetch, server, file.size)) };
  } finally {
    watch.stop();
  }
}

function formOf(request: UploadRequest, file: Blob): FormData {
  const form = new FormData();
  form.set("image", file, request.filename);
  form.set("type", request.type ?? "input");
  if (request.subfolder) form.set("subfolder", request.subfolder);
  if (request.overwrite) form.set("overwrite", "true");
  if (request.original) form.set("original_ref", JSON.stringify(request.original));
  return form;
}

function readUploaded(text: string, serverId: string): UploadedFile | undefined {
  const said = asObject(parseJson(text));
  const name = asString(said.name);
  if (name === undefined) return undefined;
  const subfolder = asString(said.subfolder) ?? "";
  const type = asString(said.type) ?? "input";
  const input = (subfolder && `${subfolder}/`) + name + (type === "input" ? "" : ` [${type}]`);
  return { name, subfolder, type, serverId, input };
}

function sendForm(
  request: UploadRequestLike,
  url: string,
  form: FormData,
  { headers, cookies }: Credentials,
  signal: AbortSignal,
  onProgress: UploadMeans["onProgress"],
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const failed = (): void => reject(new Error("no answer"));
    request.open("POST", url);
    request.withCredentials = cookies;
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded, total);
    request.onload = () => resolve({ status: request.status, text: request.responseText });
    request.onerror = failed;
    signal.addEventListener("abort", () => {
      request.abort();
      failed();
    });
    request.send(form);
  });
}

async function fetchForm(
  fetch: FetchLike,
  url: string,
  form: FormData,
  credentials: Credentials,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const response = await fetch(url, { ...authorisedInit(credentials), method: "POST", body: form, signal });
  return { status: response.status, text: await response.text() };
}

export async function fetchFile(
  fetch: FetchLike,
  server: TransferServer,
  path: string,
  signal: AbortSignal,
): Promise<Answer<Blob>> {
  const watch = watchMovement(signal);
  try {
    const url = withQuery(server.url + path, server.credentials.query);
    const response = await fetch(url, { ...authorisedInit(server.credentials), signal: watch.signal });
    const body = watchedBody(response, watch.moved);
    if (response.ok) return { ok: await body.blob() };
    return { error: refusal(server, response.status, await body.text()) };
  } catch {
    return { error: watch.givenUp() ?? (await whyItFailed(fetch, server)) };
  } finally {
    watch.stop();
  }
}

/** A signal that follows `given`, and gives up by itself when nothing has moved for too long. */
function watchMovement(given: AbortSignal) {
  // Not `AbortSignal.any`: Safari has that since 17.4.
  const watch = new AbortController();
  const end = (): void => watch.abort();
  given.addEventListener("abort", end);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const moved = (): void => {
    clearTimeout(timer);
    timer = setTimeout(end, stallMs);
  };
  moved();
  return {
    signal: watch.signal,
    moved,
    stop: () => clearTimeout(timer),
    givenUp(): WireError | undefined {
      if (given.aborted) return wireError("aborted", "The transfer was aborted.", {});
      if (!watch.signal.aborted) return undefined;
      return wireError("timeout", `Nothing moved for ${stallMs / 1000} s.`, { afterMs: stallMs });
    },
  };
}
