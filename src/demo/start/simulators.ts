import type { Connect } from "vite";
import type { Simulator } from "../../simulator/http-server.ts";

/** A few simulated servers with names, and a way for the page to end and restart each: to see what then happens. */
export interface Simulators {
  readonly servers: readonly { readonly id: string; readonly url: string }[];
  /** `POST /simulators/<id>/stop` and `…/start`, of this page only. */
  readonly middleware: Connect.NextHandleFunction;
  close(): Promise<unknown>;
}

const names = ["alder", "birch", "cedar"];

export async function openSimulators(version: string | undefined): Promise<Simulators> {
  const { startSimulator } = await import("../../simulator/http-server.ts");
  const opened = await Promise.all(
    names.map(
      async (id): Promise<[string, Simulator]> => [
        id,
        await startSimulator({ ...(version ? { version } : {}) }),
      ],
    ),
  );
  const byId = new Map(opened);
  return {
    servers: opened.map(([id, { url }]) => ({ id, url })),
    middleware(request, response, next) {
      const [, id = "", order] = /^\/(\w+)\/(stop|start)$/.exec(request.url ?? "") ?? [];
      const simulator = byId.get(id);
      if (!simulator || request.method !== "POST") return next();
      // Another site's page may post here, too; browsers say where a request comes from.
      if (request.headers["sec-fetch-site"] !== "same-origin") {
        response.writeHead(403).end();
        return;
      }
      if (order === "stop") simulator.stop();
      else simulator.start();
      response.writeHead(204).end();
    },
    close: () => Promise.all(opened.map(([, simulator]) => simulator.close())),
  };
}
