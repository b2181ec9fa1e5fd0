import { present } from "../comfy/json.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { RequestKey } from "./facts.ts";
import type { Coordinator, Purpose } from "./state.ts";

/** ComfyUI encodes previews in its event loop: seconds of silence are normal, so no deadline is short. */
const timeoutMs = 30_000;

export function ask(
  c: Coordinator,
  purpose: Purpose,
  server: ServerKey,
  path: string,
  body?: string,
  opaque?: true,
): RequestKey {
  c.lastKey += 1;
  const request = c.lastKey;
  c.requests.set(request, purpose);
  c.effects.push({
    do: "request",
    request,
    server,
    method: body === undefined ? "GET" : "POST",
    path,
    ...present({ body, opaque }),
    timeoutMs,
  });
  return request;
}

export function log(c: Coordinator, level: "debug" | "warn", message: string): void {
  c.effects.push({ do: "log", level, message });
}
