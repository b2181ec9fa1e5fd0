import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** An app in a folder of its own, with the package as npm installs it. */
export interface App {
  readonly folder: string;
  write(files: Readonly<Record<string, string>>): void;
  /** Runs a program of the app's: `npx` without the network. */
  run(program: string, ...args: readonly string[]): void;
  remove(): void;
}

/** What apps are made of: the package and what it depends on, packed and installed once. */
export interface Packed {
  /** @param like a folder whose files the app begins with */
  app(like?: string): App;
  remove(): void;
}

const execute = (program: string, args: readonly string[], cwd: string, timeout: number): string =>
  execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], timeout });

const npm = (args: readonly string[], cwd: string): string => execute("npm", args, cwd, 60_000);

export function packAndInstall(): Packed {
  const base = mkdtempSync(join(tmpdir(), "comfy-tabs-packed-"));
  const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: object };
  const folders = [".", ...Object.keys(dependencies).map((name) => `./node_modules/${name}`)];
  const tarballs = folders.map((folder) => {
    const made = npm(["pack", folder, "--json", "--ignore-scripts", "--pack-destination", base], ".");
    return `./${(JSON.parse(made) as { filename: string }[])[0]?.filename}`;
  });
  writeFileSync(join(base, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  npm(["install", "--no-audit", "--no-fund", "--offline", ...tarballs], base);
  return {
    app(like) {
      const folder = mkdtempSync(join(tmpdir(), "comfy-tabs-app-"));
      cpSync(base, folder, { recursive: true });
      if (like) cpSync(like, folder, { recursive: true });
      return appIn(folder);
    },
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}

function appIn(folder: string): App {
  return {
    folder,
    write(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), text);
      }
    },
    run: (program, ...args) => void execute(join("node_modules", ".bin", program), args, folder, 120_000),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/**
 * Packages from the registry, or from npm's cache of it.
 * @throws Error that says that the registry is what fails, not the package
 */
export function install(app: App, packages: readonly string[]): void {
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline", "--fetch-retries=1"];
  try {
    execute("npm", ["install", ...quiet, "--save-dev", ...packages], app.folder, 180_000);
  } catch (error) {
    const names = packages.join(", ");
    throw new Error(`npm could not install ${names}: is the registry to be reached? It says why above.`, {
      cause: error,
    });
  }
}

/** Packages of this repository that an app of it may use as they are. */
export function lend(app: App, names: readonly string[]): void {
  for (const name of names) {
    const place = join(app.folder, "node_modules", name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(resolve("node_modules", name), place);
  }
}

/** The example that the README promises to work when pasted, at another server. */
export function readmeExample(serverUrl: string): string {
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/```ts\n([\s\S]*?)```/g)];
  const example = blocks.map(([, code]) => code).find((code) => code?.includes('from "comfy-tabs"'));
  if (!example) throw new Error("the README has no example");
  return example.replaceAll("http://127.0.0.1:8188", serverUrl);
}
