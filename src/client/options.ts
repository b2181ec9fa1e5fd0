import { normaliseAddress } from "../comfy/addresses.ts";
import { ComfyTabsError } from "../protocol/errors.ts";
import type { ServerDeclaration } from "../protocol/session-api.ts";
import type { ConnectOptions } from "./api.ts";

export function invalidOption(option: string, message: string): ComfyTabsError<"invalid-option"> {
  return new ComfyTabsError("invalid-option", message, { option });
}

export interface CheckedOptions extends Omit<ConnectOptions, "servers"> {
  readonly servers: readonly ServerDeclaration[];
  readonly name: string;
  readonly mode: NonNullable<ConnectOptions["mode"]>;
  readonly previews: NonNullable<ConnectOptions["previews"]>;
}

/** @throws {@link ComfyTabsError} `invalid-option`, with a sentence on what the option has to be */
export function checkOptions(options: ConnectOptions): CheckedOptions {
  if (typeof options !== "object" || options === null)
    throw invalidOption("options", "connect takes an object.");
  const {
    servers,
    name = "comfy-tabs",
    mode = "auto",
    previews = "newest",
    worker,
    logger = "warn",
  } = options;
  if (!Array.isArray(servers) || servers.length === 0)
    throw invalidOption("servers", "`servers` has to name at least one server.");
  if (typeof name !== "string" || name === "" || name.length > 200)
    throw invalidOption("name", "`name` has to be a text of 1 to 200 characters.");
  const choose = (option: string, value: unknown, values: readonly string[]): void => {
    if (!values.includes(value as string))
      throw invalidOption(option, `\`${option}\` has to be one of ${values.join(", ")}.`);
  };
  choose("mode", mode, ["auto", "shared", "solo"]);
  choose("previews", previews, ["newest", "none"]);
  if (typeof logger !== "object" || logger === null) choose("logger", logger, ["silent", "warn", "debug"]);
  if (worker !== undefined && !["string", "function"].includes(typeof worker) && !(worker instanceof URL))
    throw invalidOption("worker", "`worker` has to be an address or a function that makes the worker.");
  return { ...options, name, mode, previews, servers: checkServers(servers) };
}

function checkServers(servers: ConnectOptions["servers"]): ServerDeclaration[] {
  const declared = new Map<string, ServerDeclaration>();
  for (const server of servers) {
    const options = typeof server === "string" ? { url: server } : server;
    const url = typeof options?.url === "string" ? normaliseAddress(options.url) : undefined;
    if (url === undefined)
      throw invalidOption("servers", `"${String(options?.url)}" is not the address of a server.`);
    const { weight = 1, broadcastTypes = [], auth, id = url } = options;
    if (typeof id !== "string" || id === "" || id.length > 2000)
      throw invalidOption("id", "`id` has to be a text of 1 to 2,000 characters.");
    if (!(typeof weight === "number" && weight > 0 && weight < Number.POSITIVE_INFINITY))
      throw invalidOption("weight", "`weight` has to be a positive number.");
    if (!Array.isArray(broadcastTypes) || broadcastTypes.some((type) => typeof type !== "string"))
      throw invalidOption("broadcastTypes", "`broadcastTypes` has to be a list of types of messages.");
    if (declared.has(id) && declared.get(id)?.url !== url)
      throw invalidOption("id", `Two servers are called "${id}".`);
    declared.set(id, { id, url, weight, broadcastTypes, ...(auth ? { auth } : {}) });
  }
  return [...declared.values()];
}
