import { addressSpace } from "../comfy/addresses.ts";
import { readQueueRemaining } from "../comfy/queue.ts";
import { type ErrorCode, type WireError, wireError } from "../protocol/errors.ts";
import type { Block, HttpAnswer } from "./facts.ts";

export const isRefusal = (status: number): boolean => status === 401 || status === 403;

export const unauthorized = (url: string, status: number, named: { serverId?: string } = {}): WireError =>
  wireError("unauthorized", `${url} wants other credentials (HTTP ${status}): give them to setAuth.`, {
    ...named,
    status,
  });

/** What each of these says, and what is to be done about it. */
const findings = {
  "server-unreachable": "Nothing answers at {url}. Is ComfyUI running there, on this port?",
  "cross-origin-blocked":
    "{url} lets no page of another origin in: start ComfyUI with --enable-cors-header. Is the port right?",
  "origin-refused": "{url} lets another origin in, not this page's: correct its --enable-cors-header.",
  "mixed-content": "An https page may not use {url}: serve ComfyUI over https.",
  "local-network-blocked":
    "The browser keeps this page from {url}: allow the local network in the site's settings.",
} as const satisfies { readonly [C in ErrorCode]?: string };

/**
 * What an answer to `GET /prompt`, the cheapest question, says against a server. Undefined: it is ComfyUI.
 *
 * @param shown by what else it is known to be there: that it answers, or that it takes this page's socket
 * @param named the asking tab's own name for the server, where one tab asks
 */
export function diagnose(
  url: string,
  answer: HttpAnswer,
  shown?: "answers" | "socket",
  named: { readonly serverId?: string } = {},
): WireError | undefined {
  if ("failure" in answer) {
    const code =
      answer.block ??
      (shown === undefined
        ? "server-unreachable"
        : shown === "socket"
          ? "origin-refused"
          : "cross-origin-blocked");
    return wireError(code, findings[code].replace("{url}", url), { ...named, url });
  }
  const { status } = answer;
  if (isRefusal(status)) return unauthorized(url, status, named);
  if (status !== 200 || readQueueRemaining(answer.text) === undefined)
    return wireError(
      "not-comfyui",
      `What answers at ${url} is not ComfyUI (HTTP ${status}). Is the port right?`,
      { ...named, url, status },
    );
  return undefined;
}

/**
 * Whether the browser forbids a page a server that does not answer. It says so to nobody but its console.
 *
 * @param permission to reach the local network; undefined: this browser asks for none
 */
export function blockOf(
  url: string,
  page: string,
  permission: "granted" | "denied" | "prompt" | undefined,
): Block | undefined {
  const space = addressSpace(url);
  // With the permission, Chromium takes addresses that are local by their spelling.
  const isExempt = space === "loopback" || (space === "local" && permission !== undefined);
  if (page.startsWith("https:") && url.startsWith("http:") && !isExempt) return "mixed-content";
  const isAsked = permission !== undefined && permission !== "granted" && space !== "public";
  return isAsked && addressSpace(page) === "public" ? "local-network-blocked" : undefined;
}
