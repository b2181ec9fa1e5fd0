import { normaliseAddress } from "../comfy/addresses.ts";
import { ComfyTabsError } from "../protocol/errors.ts";
import { type Auth, defaultDepth, type ServerDeclaration } from "../protocol/session-api.ts";
import type { ConnectOptions, Logger, WhenTabGone } from "./api.ts";
import { serversLater } from "./servers-later.ts";

export interface CheckedOptions extends Omit<ConnectOptions, "servers"> {
  readonly servers: readonly ServerDeclaration[];
  readonly name: string;
  readonly mode: NonNullable<ConnectOptions["mode"]>;
  readonly previews: NonNullable<ConnectOptions["previews"]>;
  readonly whenTabGone: WhenTabGone;
}

export function invalidOption(option: string, message: string): ComfyTabsError<"invalid-option"> {
  return new ComfyTabsError("invalid-option", message, { option });
}

/** @param wanted what the option has to be, in words. @throws {@link ComfyTabsError} `invalid-option` */
export function demand(holds: boolean, option: string, wanted: string): void {
  if (!holds) throw invalidOption(option, `\`${option}\` has to be ${wanted}.`);
}

/** @throws {@link ComfyTabsError} `invalid-option` */
export function demandText(value: unknown, option: string, longest: number): void {
  const isText = typeof value === "string" && value !== "" && value.length <= longest;
  demand(isText, option, `a text of 1 to ${longest} characters`);
}

/** @throws {@link ComfyTabsError} `invalid-option` where it has none, as a BigInt or what contains itself */
export function jsonOf(value: unknown, option = "options"): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    throw invalidOption(option, String(error));
  }
}

/**
 * As it is now and as the host reads it, whatever the app does with its own later, its fields in one order.
 *
 * @throws {@link ComfyTabsError} `invalid-option`
 */
export function plainAuth(auth: Auth): Auth {
  const plain: unknown = JSON.parse(jsonOf(auth ?? null, "auth") ?? "null");
  return Object.fromEntries(Object.entries(Object(plain)).sort(([a], [b]) => (a < b ? -1 : 1))) as never;
}

/** How the host is told of it: undefined keeps a task. */
export function cancelAfter(whenTabGone: WhenTabGone): number | undefined {
  if (whenTabGone === "keep") return undefined;
  const ms: unknown = whenTabGone?.cancelAfterMs;
  demand(
    typeof ms === "number" && Number.isSafeInteger(ms) && ms >= 0,
    "whenTabGone",
    '"keep" or { cancelAfterMs: a whole number of milliseconds }',
  );
  return ms as number;
}

/** @throws {@link ComfyTabsError} `invalid-option`, with a sentence on what the option has to be */
export function checkOptions(options: ConnectOptions): CheckedOptions {
  demand(typeof options === "object" && options !== null, "options", "an object");
  const {
    servers,
    name = "comfy-tabs",
    mode = "auto",
    previews = "newest",
    worker,
    whenTabGone = "keep",
    logger = "warn",
  } = options;
  const oneOf = (option: string, value: unknown, values: readonly string[]): void =>
    demand(values.includes(value as string), option, `one of ${values.join(", ")}`);
  const enough = Array.isArray(servers) && (servers.length > 0 || serversLater in options);
  demand(enough, "servers", "a list of at least one server");
  demandText(name, "name", 200);
  oneOf("mode", mode, ["auto", "shared", "solo"]);
  oneOf("previews", previews, ["newest", "none"]);
  const { debug, warn } = Object(logger) as Partial<Logger>;
  if (!debug || !warn) oneOf("logger", logger, ["silent", "warn", "debug"]);
  const isSource =
    worker === undefined ||
    typeof worker === "string" ||
    typeof worker === "function" ||
    worker instanceof URL;
  demand(isSource, "worker", "an address, or a function that makes the worker");
  cancelAfter(whenTabGone);
  return { ...options, name, mode, previews, whenTabGone, servers: checkServers(servers) };
}

function checkServers(servers: ConnectOptions["servers"]): ServerDeclaration[] {
  const declared = new Map<string, ServerDeclaration>();
  for (const server of servers) {
    const options = typeof server === "string" ? { url: server } : server;
    const url = typeof options?.url === "string" ? normaliseAddress(options.url) : undefined;
    if (url === undefined || /^([^/]+\/\/)?[^/?#]*@/.test(options.url))
      throw invalidOption("servers", "`url` has to be a server's address; credentials go into `auth`.");
    // The host checks them, and says the same of each.
    const { weight = 1, depth = defaultDepth, broadcastTypes = [], auth, id = url } = options;
    // JSON has no Infinity.
    const places = depth === Infinity ? Number.MAX_SAFE_INTEGER : depth;
    const declaration = {
      id,
      url,
      weight,
      depth: places,
      broadcastTypes,
      ...(auth ? { auth: plainAuth(auth) } : {}),
    };
    // The same one may be named twice; of another account, one would take the other's place without a word.
    const same = jsonOf(declared.get(id) ?? declaration, "servers") === jsonOf(declaration, "servers");
    demand(same, "id", "another one for every server");
    declared.set(id, declaration);
  }
  return [...declared.values()];
}
