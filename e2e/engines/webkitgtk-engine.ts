import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { findWebKitGtk } from "../../scripts/browsers.mjs";
import { type Engine, type EngineTab, insecureHost, type Profile } from "./engine.ts";

/** Starting takes a second, or ten where the machine has much else to do. */
const startMs = 30_000;

interface Started {
  readonly sessionId: string;
  readonly capabilities: { readonly browserVersion: string };
}

/** WebKitGTK's MiniBrowser on a display that nobody sees, by WebDriver. */
export async function launchWebKitGtk(): Promise<Engine> {
  const programs = findWebKitGtk();
  if (!programs) throw new Error("There is no WebKitGTK with its driver and Xvfb.");
  const { xvfb, driver: driverProgram, browser } = programs;
  const processes = new Set<ChildProcess>();
  const stop = (): void => {
    for (const one of processes) one.kill();
  };
  process.once("exit", stop);
  const start = (program: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess => {
    const started = spawn(program, args, { env, stdio: ["ignore", "pipe", "ignore"] });
    processes.add(started);
    return started;
  };
  // One for all: a display that ends takes away the name that the next one has been given meanwhile. And it does
  // not start over when its last window closes: a browser that comes just then cannot open it.
  const display = start(xvfb, ["-displayfd", "1", "-nolisten", "tcp", "-noreset"], process.env);
  const [number] = (await once(display.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const proxy = await startProxy();
  const env = {
    ...process.env,
    DISPLAY: `:${number.toString().trim()}`,
    GDK_BACKEND: "x11",
    LIBGL_ALWAYS_SOFTWARE: "1",
    WEBKIT_DISABLE_COMPOSITING_MODE: "1",
    WEBKIT_DISABLE_DMABUF_RENDERER: "1",
    NO_AT_BRIDGE: "1",
    // Told to the driver, as its capability `proxy`, a list of hosts without proxy crashes WebKitGTK 2.50 at the
    // start, every other time: it reads on behind the list's end.
    http_proxy: `http://127.0.0.1:${proxy.port}`,
    no_proxy: "127.0.0.1,localhost",
  };

  const wanted = {
    capabilities: {
      alwaysMatch: {
        "webkitgtk:browserOptions": { binary: browser, args: ["--automation"] },
      },
    },
  };
  const end = (driver: ChildProcess): void => {
    driver.kill();
    processes.delete(driver);
  };

  /** A driver has one session at a time, so each profile has a driver of its own. */
  async function startBrowser(): Promise<Profile & { readonly version: string }> {
    const port = await freePort();
    const driver = start(driverProgram, [`--port=${port}`, "--host=127.0.0.1"], env);
    await untilListening(port);
    const drivers = `http://127.0.0.1:${port}/session`;
    const { sessionId, capabilities } = await command<Started>(drivers, "POST", wanted, startMs).catch(
      (cause: unknown) => {
        end(driver);
        throw new Error("WebKitGTK does not start.", { cause });
      },
    );
    const session = `${drivers}/${sessionId}`;
    return {
      version: capabilities.browserVersion,
      open: createWindows(session, await command<string>(`${session}/window`, "GET")).open,
      async close() {
        await command(session, "DELETE");
        end(driver);
      },
    };
  }

  const first = await startBrowser();
  await first.close();
  return {
    version: first.version,
    newProfile: startBrowser,
    async close() {
      proxy.close();
      stop();
      process.off("exit", stop);
    },
  };
}

/** One command after the other: which window they are for is a state of the session. */
function createWindows(session: string, spare: string): Pick<Profile, "open"> {
  let line: Promise<unknown> = Promise.resolve();

  function inWindow<Result>(handle: string, then: () => Promise<Result>): Promise<Result> {
    const done = line.then(async () => {
      await command(`${session}/window`, "POST", { handle });
      return then();
    });
    line = done.catch(() => {}); // told to whoever asked
    return done;
  }

  const tabIn = (handle: string): EngineTab => ({
    async evaluate(run, given) {
      const answer = await inWindow(handle, () =>
        command<{ value?: unknown; error?: string }>(`${session}/execute/async`, "POST", {
          script: `const answer = arguments[1];
            Promise.resolve(arguments[0]).then((given) => (${run})(given ?? undefined)).then(
              (value) => answer({ value }), (error) => answer({ error: String(error) }));`,
          args: [given ?? null],
        }),
      );
      if (answer.error !== undefined) throw new Error(answer.error);
      return (answer.value ?? undefined) as never;
    },
    reload: () => inWindow(handle, () => command(`${session}/refresh`, "POST", {})),
    close: async () => void (await inWindow(handle, () => command(`${session}/window`, "DELETE"))),
    crash: undefined,
  });

  return {
    async open(url) {
      // The first window stays as it is: the session ends with its last one.
      const { handle } = await inWindow(spare, () =>
        command<{ handle: string }>(`${session}/window/new`, "POST", { type: "tab" }),
      );
      await inWindow(handle, () => command(`${session}/url`, "POST", { url }));
      return tabIn(handle);
    },
  };
}

async function command<Result>(
  url: string,
  method: string,
  body?: object,
  patienceMs = 60_000,
): Promise<Result> {
  const signal = AbortSignal.timeout(patienceMs);
  const response = await fetch(url, { method, signal, ...(body ? { body: JSON.stringify(body) } : {}) });
  const { value } = (await response.json()) as { value: Result & { error?: string; message?: string } };
  if (!response.ok) throw new Error(`${method} ${new URL(url).pathname}: ${value.error}: ${value.message}`);
  return value;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

async function untilListening(port: number): Promise<void> {
  for (const since = Date.now(); ; ) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    if (Date.now() - since > 10_000) throw new Error("The WebKit driver does not listen.");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The way to `insecureHost`: other browsers can be told where that is, this one can be given a proxy. */
async function startProxy(): Promise<{ port: number; close(): void }> {
  const server = createServer((asked, response) => {
    const { hostname, port, pathname, search } = new URL(asked.url ?? "");
    if (hostname !== insecureHost) {
      response.writeHead(502).end();
      return;
    }
    const { method, headers } = asked;
    const onward = request(
      { host: "127.0.0.1", port, path: pathname + search, method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    asked.pipe(onward);
  });
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
