import { encodePart } from "./addresses.ts";
import { asObject, asString, isObject } from "./json.ts";

export interface ServerFile {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: "output" | "temp" | "input";
}

export interface NodeFile extends ServerFile {
  readonly nodeId: string;
  /** What the node calls it, in the singular. */
  readonly kind: string;
}

/** The files in a node's output: in any list, under any name, for custom nodes have their own. */
export function outputFiles(nodeId: string, output: unknown): NodeFile[] {
  return Object.entries(asObject(output)).flatMap(([name, list]) =>
    Array.isArray(list) ? list.flatMap((entry) => readFile(nodeId, name, entry)) : [],
  );
}

function readFile(nodeId: string, list: string, entry: unknown): NodeFile[] {
  if (!isObject(entry) || typeof entry.filename !== "string" || entry.filename === "") return [];
  const { filename, type } = entry;
  return [
    {
      nodeId,
      kind: singular(list),
      filename,
      subfolder: asString(entry.subfolder) ?? "",
      type: type === "temp" || type === "input" ? type : "output",
    },
  ];
}

const singular = (name: string): string => name.replace(/(sh|ch|x|ss)es$|([^s])s$/, "$1$2");

export interface ViewOptions {
  /** Re-encoded by the server, e.g. `webp;80` or `jpeg;90`. Default: the file as it is. */
  readonly preview?: string;
  readonly channel?: "rgb" | "a" | "rgba";
}

/** Where `GET /view` has a file, below the server's address. Every part is encoded. */
export function viewPath(
  { filename, subfolder, type }: ServerFile,
  { preview, channel }: ViewOptions = {},
): string {
  const query: [string, string | undefined][] = [
    ["filename", filename],
    ["subfolder", subfolder],
    ["type", type],
    ["preview", preview],
    ["channel", channel],
  ];
  const parts = query.flatMap(([name, value]) => (value === undefined ? [] : `${name}=${encodePart(value)}`));
  return `/view?${parts.join("&")}`;
}
