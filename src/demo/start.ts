import { fileURLToPath } from "node:url";
import { createServer, type Plugin, type ViteDevServer } from "vite";
import { type StartOptions, startOptions, usage } from "./start/options.ts";
import { reachability } from "./start/reachability.ts";

/** `npm start`: the demo page, and the simulator unless a real server is named. */
async function start({ servers, port, simulatorVersion }: StartOptions): Promise<void> {
  const simulator = servers.length === 0 ? await openSimulator(simulatorVersion) : undefined;
  const choice = simulator
    ? { servers: [{ id: "simulator", url: simulator.url }], simulated: true }
    : { servers: servers.map((url) => ({ url })), simulated: false };

  const page = await servePage(port, JSON.stringify(choice));
  const address = page.resolvedUrls?.local[0] ?? "";
  endWith(async () => {
    await Promise.all([page.close(), simulator?.close()]);
  });

  console.log(`\n  comfy-tabs demo\n\n  Page    ${address}`);
  if (simulator) console.log(`  Server  ${simulator.url}, the built-in simulator: no ComfyUI is needed`);
  for (const server of servers)
    console.log(`  Server  ${server} ${await reachability(server, new URL(address).origin)}`);
  console.log("\n  Open the page in several tabs. Ctrl-C ends it.\n");
}

/** Loaded only when it is wanted. */
async function openSimulator(version: string | undefined) {
  const { startSimulator } = await import("../simulator/http-server.ts");
  return startSimulator(version === undefined ? {} : { version });
}

async function servePage(port: number, choice: string): Promise<ViteDevServer> {
  const serverChoice: Plugin = {
    name: "comfy-tabs:server-choice",
    configureServer({ middlewares }) {
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
