import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

/** What each folder may import. The projects say it to the compiler; here it is said once more, to be compared. */
const arrows: { readonly [folder: string]: readonly string[] } = {
  comfy: [],
  protocol: ["comfy"],
  core: ["comfy", "protocol"],
  worker: ["comfy", "protocol", "core"],
  client: ["comfy", "protocol"],
  simulator: ["comfy"],
  doctor: ["comfy"],
};
const folders = Object.keys(arrows);
const pure = ["comfy", "protocol", "core"];

/** Words of a platform, which the folders that only decide cannot even spell. */
const words = [
  ...["WebSocket", "MessageChannel", "BroadcastChannel", "Blob", "fetch", "navigator", "indexedDB", "self"],
  ...["setTimeout", "setInterval", "queueMicrotask", "performance", "crypto", "console", "process", "window"],
];

const imports = folders.flatMap((from) => folders.filter((to) => to !== from).map((to) => ({ from, to })));
const spellings = [
  ...pure.flatMap((folder) => words.map((word) => ({ folder, word }))),
  ...["window", "document", "localStorage"].map((word) => ({ folder: "worker", word })),
];

function run(tool: string, ...options: readonly string[]): string {
  const { stdout, stderr } = spawnSync(join(root, "node_modules/.bin", tool), options, {
    cwd: place,
    encoding: "utf8",
  });
  return stdout + stderr;
}

/** The real settings around files of a few words. */
const root = fileURLToPath(new URL("..", import.meta.url));
const place = mkdtempSync(join(tmpdir(), "layers-"));
const write = (folder: string, name: string, text: string): void => {
  mkdirSync(join(place, "src", folder), { recursive: true });
  writeFileSync(join(place, "src", folder, name), `${text}\n`);
};
const settings = ["tsconfig.base.json", "biome.json", ".gitignore", "scripts/no-random.grit"];
for (const file of [...settings, ...folders.map((folder) => `src/${folder}/tsconfig.json`)])
  cpSync(join(root, file), join(place, file));
symlinkSync(join(root, "node_modules"), join(place, "node_modules"));
afterAll(() => rmSync(place, { recursive: true, force: true }));

describe("the compiler", () => {
  let output: string;

  beforeAll(() => {
    for (const folder of folders) write(folder, "something.ts", "export const something = 1;");
    for (const { from, to } of imports)
      write(from, `to-${to}.ts`, `export { something } from "../${to}/something.ts";`);
    for (const { folder, word } of spellings)
      write(folder, `says-${word}.ts`, `export const said: unknown = ${word};`);
    output = run("tsc", "-b", "--pretty", "false", ...folders.map((folder) => `src/${folder}`));
  }, 30_000);

  const complaints = (file: string): string[] =>
    output.split("\n").filter((line) => line.startsWith(`src/${file}(`) && line.includes("error TS"));

  test.each(imports.filter(({ from, to }) => arrows[from]?.includes(to)))(
    "lets $from import $to",
    ({ from, to }) => {
      expect(complaints(`${from}/to-${to}.ts`)).toEqual([]);
    },
  );

  test.each(imports.filter(({ from, to }) => !arrows[from]?.includes(to)))(
    "does not let $from import $to",
    ({ from, to }) => {
      expect(complaints(`${from}/to-${to}.ts`)).toEqual([expect.stringContaining("TS6307")]);
    },
  );

  test.each(spellings)("does not know $word in $folder", ({ folder, word }) => {
    expect(complaints(`${folder}/says-${word}.ts`)).toEqual([expect.stringContaining(`'${word}'`)]);
  });

  test.each(folders)("has nothing else against %s", (folder) => {
    expect(complaints(`${folder}/something.ts`)).toEqual([]);
  });
});

describe("the linter", () => {
  let output: string;

  beforeAll(() => {
    const lines = [
      "export const now = Date.now();",
      "export const today = new Date();",
      "export const later = globalThis.Date.now();",
      "export const dice = Math.random();",
      "export const { random } = Math;",
      "export const most = Math.max(1, 2);",
    ];
    for (const folder of folders) write(folder, "clock-and-dice.ts", lines.join("\n"));
    output = run("biome", "lint", "--max-diagnostics=none", "src");
  }, 30_000);

  const linesOf = (folder: string): number[] =>
    [...output.matchAll(/src\/(\w+)\/clock-and-dice\.ts:(\d+)/g)]
      .flatMap(([, where, line]) => (where === folder ? [Number(line)] : []))
      .sort();

  test.each(pure)("keeps clock and dice out of %s, but not arithmetic", (folder) => {
    expect(linesOf(folder)).toEqual([1, 2, 3, 4, 5]);
  });

  test.each(folders.filter((folder) => !pure.includes(folder)))("lets %s have both", (folder) => {
    expect(linesOf(folder)).toEqual([]);
  });
});
