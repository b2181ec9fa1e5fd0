import { parseArgs } from "node:util";

/** What `npm start` was asked for. */
export interface StartOptions {
  /** Addresses of ComfyUI servers; none means the simulator. */
  readonly servers: readonly string[];
  /** Where the page is served; if it is taken, the next free one. */
  readonly port: number;
  /** The ComfyUI that the simulator plays; undefined: its newest. */
  readonly simulatorVersion: string | undefined;
  readonly help: boolean;
}

export const usage = `npm start -- [options]

  --server <address>             a ComfyUI server, e.g. http://127.0.0.1:8188; may stand several times
                                 (default: three built-in simulators)
  --port <number>                where the page is served (default: 5173, or the next free one)
  --simulator-version <version>  the ComfyUI that the simulator plays, e.g. 0.3.64
  --help                         this text
`;

/** @throws Error with one sentence for the person who typed it */
export function startOptions(args: readonly string[]): StartOptions {
  const { server, port, help, ...rest } = parse(args);
  const servers = (server ?? []).map(serverAddress);
  const simulatorVersion = rest["simulator-version"];
  if (simulatorVersion !== undefined && servers.length > 0)
    throw new Error("--simulator-version does nothing beside --server: leave one of them out.");
  if (simulatorVersion !== undefined && !/^\d+\.\d+(\.\d+)?$/.test(simulatorVersion))
    throw new Error(`--simulator-version takes a version such as 0.3.64, not "${simulatorVersion}".`);
  return { servers, port: portNumber(port ?? "5173"), simulatorVersion, help: help ?? false };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        server: { type: "string", multiple: true },
        port: { type: "string" },
        "simulator-version": { type: "string" },
        help: { type: "boolean" },
      },
    }).values;
  } catch (error) {
    // Node explains how to pass an argument that begins with a dash; its first sentence says what is wrong.
    throw new Error(
      `${(error as Error).message.split(/\.\s/)[0]?.replace(/\.$/, "")}. See npm start -- --help.`,
    );
  }
}

function serverAddress(text: string): string {
  const address = /^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(address) || !/^https?:$/.test(new URL(address).protocol))
    throw new Error(`--server takes an address such as http://127.0.0.1:8188, not "${text}".`);
  return address.replace(/\/+$/, "");
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65535)
    throw new Error(`--port takes a number from 1 to 65535, not "${text}".`);
  return port;
}
