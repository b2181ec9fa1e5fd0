import { parseArgs } from "node:util";
import { examine, type Finding } from "./examine.ts";

export const usage = `comfy-tabs doctor <address> [--origin <origin>] [--header "Name: value"]…

Looks at a ComfyUI as comfy-tabs in a browser would, says what is wrong, and what to do about it.

  <address>   http://127.0.0.1:8188
  --origin    of the pages that are to use it: https://app.example
  --header    a login, sent with every request but the page's WebSocket, which cannot send any

Ends with 0 if all is well, else with 1.`;

const marks: { readonly [Is in Finding["is"]]: string } = { well: "  ok ", note: "   - ", wrong: "  !! " };

/** @returns the exit code */
export async function doctor(words: readonly string[], print: (line: string) => void): Promise<number> {
  const asked = read(words);
  if (!asked) {
    print(usage);
    return 1;
  }
  let code = 0;
  for await (const { is, what, todo } of examine(asked)) {
    print(`${marks[is]}${what}`);
    if (todo !== undefined) print(`     ${todo}`);
    if (is === "wrong") code = 1;
  }
  print(code === 0 ? "All is well." : "comfy-tabs could not work with this server as it is.");
  return code;
}

function read(words: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: { origin: { type: "string" }, header: { type: "string", multiple: true } },
    });
    const [command, url, more] = positionals;
    if (command !== "doctor" || url === undefined || more !== undefined) return undefined;
    const origin = values.origin === undefined ? undefined : new URL(values.origin).origin;
    const headers = (values.header ?? []).map((line) => {
      const [, name, value] = /^([\w-]+):\s*(.+)$/.exec(line) ?? [];
      if (name === undefined || value === undefined) throw new Error(`no header: ${line}`);
      return [name, value];
    });
    return { url, origin, headers: Object.fromEntries(headers) as Record<string, string> };
  } catch {
    return undefined; // the usage says how
  }
}
