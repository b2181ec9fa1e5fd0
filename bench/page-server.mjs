import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";

const types = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
};

/** Only in a page isolated from other origins is the clock's step 5 µs; else it is 100. */
const isolation = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
};

/**
 * Serves files on loopback.
 *
 * @param {Record<string, string>} folders where each first path segment leads
 * @param {{ isolated?: boolean }} [options] whether for the fine clock; the shared workers of isolated pages
 *   have a process of their own, and survive the crash of the tab that started them. Default true
 */
export async function startPageServer(folders, { isolated = true } = {}) {
  const server = createServer(async ({ url = "/" }, response) => {
    const [, segment = "", ...rest] = new URL(url, "http://localhost").pathname.split("/");
    const folder = folders[segment];
    const path = folder && normalize(join(folder, ...rest));
    const type = path && types[extname(path)];
    if (!type || !path.startsWith(folder + sep)) {
      response.writeHead(404).end();
      return;
    }
    try {
      const content = await readFile(path);
      response.writeHead(200, {
        "content-type": type,
        // As an app's own files are served: a second tab finds them, and their compiled code, in the cache.
        "cache-control": "max-age=31536000, immutable",
        ...(isolated ? isolation : {}),
      });
      response.end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
