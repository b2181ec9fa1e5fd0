import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Release } from "./build.ts";

/** A web server on which one release after the other is deployed. */
export interface Deployment {
  /** Of the page. */
  readonly page: string;
  /** @param alone the files of older releases are gone, also those that an old page has yet to load */
  deploy(release: Release, alone?: "alone"): void;
  close(): Promise<void>;
}

/** The same address for every release's worker. */
export const fixedWorker = "/worker.js";

export async function startDeployment(): Promise<Deployment> {
  const deployed: Release[] = [];
  const find = async (path: string): Promise<Buffer> => {
    const [current] = deployed;
    if (path === fixedWorker && current) return current.worker;
    const place = deployed.map(({ folder }) => join(folder, path)).find((file) => existsSync(file));
    return readFile(place ?? "nowhere");
  };
  const server = createServer(({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://site.test");
    find(pathname).then(
      (body) => {
        const type = pathname.endsWith(".html") ? "text/html" : "text/javascript";
        response.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    page: `http://127.0.0.1:${(server.address() as AddressInfo).port}/e2e/pages/tab.html`,
    deploy(release, alone) {
      if (alone) deployed.length = 0;
      deployed.unshift(release);
    },
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
