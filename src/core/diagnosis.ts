import { readQueueRemaining } from "../comfy/queue.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import type { HttpAnswer } from "./facts.ts";

/**
 * What an answer to `GET /prompt`, the cheapest question, says against a server. Undefined: it is ComfyUI.
 *
 * @param named the asking tab's own name for the server, where one tab asks
 */
export function diagnose(
  url: string,
  answer: HttpAnswer,
  named: { readonly serverId?: string } = {},
): WireError | undefined {
  if ("failure" in answer)
    return wireError(
      "server-unreachable",
      `Nothing answers at ${url}. Is ComfyUI running there, with --enable-cors-header?`,
      { ...named, url },
    );
  const { status } = answer;
  if (status === 401 || status === 403)
    return wireError("unauthorized", `${url} wants credentials (HTTP ${status}).`, { ...named, status });
  if (status === 200 && readQueueRemaining(answer.text) !== undefined) return undefined;
  return wireError("not-comfyui", `What answers at ${url} is not ComfyUI (HTTP ${status}).`, {
    ...named,
    url,
    status,
  });
}
