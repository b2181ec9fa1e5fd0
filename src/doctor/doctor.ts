import { validateHeaderValue } from "node:http";
import { parseArgs } from "node:util";
import { type Examination, examine, type Finding } from "./examine.ts";

export const usage = `comfy-tabs doctor <address> [--origin <origin>] [--header "Name: value"]…

Looks at a ComfyUI as comfy-tabs in a browser would, says what is wrong, and what to do about it.

  <address>   http://127.0.0.1:8188
  --origin    of the pages that are to use it: https://app.example
  --header    a login, sent with every request; a page's WebSocket can send none but Cookie

Ends with 0 if all is well, else with 1.`;

const marks: { readonly [Is in Finding["is"]]: string } = { well: "  ok ", note: "   - ", wrong: "  !! " };

/** @returns the exit code */
export async function doctor(words: readonly string[], print: (line: string) => void): Promise<number> {
  let asked: Examination | undefined;
  try {
    asked = read(words);
  } catch (error) {
    print(`${(error as Error).message}\n`);
  }
  if (!asked) {
    print(usage);
    return words.includes("--help") ? 0 : 1;
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

/** @returns undefined where the usage is wanted @throws Error with one sentence for the person who typed it */
function read(words: readonly string[]): Examination | undefined {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      origin: { type: "string" },
      header: { type: "string", multiple: true },
      help: { type: "boolean" },
    },
  });
  const [command, url, more] = positionals;
  if (values.help || command === undefined) return undefined;
  if (command !== "doctor") throw new Error(`There is no command "${command}".`);
  if (url === undefined) throw new Error("The address of a server is missing.");
  if (more !== undefined) throw new Error(`One address at a time: "${more}" is one too many.`);
  const headers = (values.header ?? []).map((line) => {
    const [, name, value] = /^([\w-]+):\s*(.+)$/.exec(line) ?? [];
    if (name === undefined || value === undefined)
      throw new Error(`--header takes one such as "Authorization: Bearer …", not "${line}".`);
    try {
      validateHeaderValue(name, value);
    } catch {
      throw new Error(`--header "${line}" has a character that no header can carry.`);
    }
    return [name, value];
  });
  return {
    url,
    origin: values.origin === undefined ? undefined : originOf(values.origin),
    headers: Object.fromEntries(headers) as Record<string, string>,
  };
}

/** `localhost:3000` would parse, as an address of the scheme `localhost:`. */
function originOf(text: string): string {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text))
    throw new Error(`--origin takes one such as https://app.example, not "${text}".`);
  return new URL(text).origin;
}
