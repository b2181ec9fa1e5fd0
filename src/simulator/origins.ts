import type { IncomingHttpHeaders } from "node:http";
import { serverAbilities } from "./abilities.ts";

/** `"*"` and an origin: as `--enable-cors-header` with it; `"off"`: without the flag. */
export type Cors = "*" | "off" | (string & {});

/** ComfyUI without the flag, asked from another origin (server.py, `create_origin_only_middleware`). */
export function isRefused(headers: IncomingHttpHeaders, cors: Cors, version: string): boolean {
  if (cors !== "off") return false;
  if (headers["sec-fetch-site"] === "cross-site" && serverAbilities(version).refusesCrossSite) return true;
  const { origin, host } = headers;
  return origin !== undefined && origin !== "null" && hostOf(origin) !== host;
}

const hostOf = (origin: string): string | undefined =>
  URL.canParse(origin) ? new URL(origin).host : undefined;

export function corsHeaders(cors: Cors): Record<string, string> {
  if (cors === "off") return {};
  return {
    "Access-Control-Allow-Origin": cors,
    "Access-Control-Allow-Methods": "POST, GET, DELETE, PUT, OPTIONS, PATCH",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
    "Access-Control-Allow-Credentials": "true",
  };
}

/** A page elsewhere may have its own name resolve to this machine; it cannot choose this header. */
export function isLoopbackHost(host: string | undefined): boolean {
  const name = host?.replace(/:\d+$/, "").toLowerCase();
  return name !== undefined && /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/.test(name);
}
