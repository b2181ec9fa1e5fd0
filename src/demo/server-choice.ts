import type { ServerOptions } from "../client/index.ts";

/** Which servers this page talks to, and what to call them. */
export interface ServerChoice {
  readonly servers: readonly ServerOptions[];
  /** Whether they are simulators, which need neither a GPU nor models. */
  readonly simulated: boolean;
}

/**
 * `?server=` in the address, which may stand several times, else what the server of this page says in
 * `servers.json`: the start program puts the simulator there, or the servers named to it.
 */
export async function chooseServers(query: URLSearchParams): Promise<ServerChoice> {
  const named = query.getAll("server").filter((url) => url !== "");
  if (named.length > 0) return { servers: named.map((url) => ({ url })), simulated: false };

  const answer = await fetch(`${import.meta.env.BASE_URL}servers.json`, { cache: "no-store" });
  if (!answer.ok)
    throw new Error(`servers.json could not be read (${answer.status}). Name a server as ?server=…`);
  return (await answer.json()) as ServerChoice;
}
