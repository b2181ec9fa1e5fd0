import { fileURLToPath } from "node:url";
import { createServer, type Plugin, type ViteDevServer } from "vite";
import { type StartOptions, startOptions, usage } from "./start/options.ts";
import { reachability } from "./start/reachability.ts";
import { openSimulators, type Simulators } from "./start/simulators.ts";

/** `npm start`: the demo page, and three simulated servers unless a real server is named. */
async function start({ servers, port, simulatorVersion }: StartOptions): Promise<void> {
  const simulators = servers.length === 0 ? await openSimulators(simulatorVersion) : undefined;
  const choice = simulators
    ? { servers: simulators.servers, simulated: true }
    : { servers: servers.map((url) => ({ url })), simulated: false };

  const page = await servePage(port, JSON.stringify(choice), simulators);
  const address = page.resolvedUrls?.local[0] ?? "";
  endWith(async () => {
    await Promise.all([page.close(), simulators?.close()]);
  });

  console.log(`\n  comfy-tabs demo\n\n  Page    ${address}`);
  for (const { id, url } of simulators?.servers ?? [])
    console.log(`  Server  ${url}, ${id}, a built-in simulator: no ComfyUI is needed`);
  for (const server of servers)
    console.log(`  Server  ${server} ${await reachability(server, new URL(address).origin)}`);
  console.log("\n  Open the page in several tabs. Ctrl-C ends it.\n");
}

async function servePage(
  port: number,
  choice: string,
  simulators: Simulators | undefined,
): Promise<ViteDevServer> {
  const serverChoice: Plugin = {
    name: "comfy-tabs:server-choice",
    configureServer({ middlewares }) {
      if (simulators) middlewares.use("/simulators", simulators.middleware);
      middlewares.use("/servers.json", (_request, response) => {
        response.setHeader("content-type", "application/json");
        response.end(choice);
      });
    },
  };
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const page = await createServer({
    root,
    configFile: fileURLToPath(new URL("../../vite.config.ts", import.meta.url)),
    plugins: [serverChoice],
    // Loopback only, and by its own names only: another name that leads here is somebody's trick.
    server: { host: "127.0.0.1", port, strictPort: false, allowedHosts: ["127.0.0.1", "localhost"] },
    clearScreen: false,
    logLevel: "warn",
  });
  return page.listen();
}

function endWith(close: () => Promise<void>): void {
  const end = () => {
    // A second Ctrl-C need not wait.
    process.once("SIGINT", () => process.exit(130));
    void close().finally(() => process.exit(0));
  };
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
}

try {
  const options = startOptions(process.argv.slice(2));
  if (options.help) console.log(usage);
  else await start(options);
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}
