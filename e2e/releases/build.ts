import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "vite";

/** A build of the same page and worker that differs where a later release might. */
export interface Release {
  readonly build: string;
  readonly folder: string;
  /** Its worker, one self-contained file. */
  readonly worker: Buffer;
  remove(): void;
}

interface Change {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const version = "src/protocol/version.ts";
const changes = {
  old: [],
  /** Says more on a port than the old one. */
  next: [{ file: version, from: "minor: 1", to: "minor: 2" }],
  /** Says other things on a port. */
  major: [{ file: version, from: "major: 1", to: "major: 2" }],
  /** Journals other things. */
  schema: [{ file: "src/protocol/names.ts", from: "journalSchema = 2", to: "journalSchema = 3" }],
} as const satisfies Readonly<Record<string, readonly Change[]>>;

export type ReleaseName = keyof typeof changes;

/** @throws Error where the source has no such place to change */
export async function buildRelease(name: ReleaseName): Promise<Release> {
  const folder = mkdtempSync(join(tmpdir(), `comfy-tabs-${name}-`));
  const changed = new Set<Change>();
  const change: Plugin = {
    name: "another-release",
    enforce: "pre",
    transform(code, id) {
      for (const one of changes[name] as readonly Change[])
        if (id.endsWith(`/${one.file}`) && code.includes(one.from)) {
          changed.add(one);
          code = code.replace(one.from, one.to);
        }
      return code;
    },
  };
  const { PUBLISHED } = process.env;
  // Releases differ in their sources.
  delete process.env.PUBLISHED;
  await build({
    logLevel: "error",
    define: { __COMFY_TABS_BUILD__: JSON.stringify(name) },
    plugins: [change],
    worker: { plugins: () => [change] },
    build: { outDir: folder, emptyOutDir: true },
  });
  if (PUBLISHED !== undefined) process.env.PUBLISHED = PUBLISHED;
  if (changed.size < changes[name].length) throw new Error(`There is nothing to change for "${name}".`);
  const assets = join(folder, "assets");
  const found = readdirSync(assets).filter((file) => /^main-.*\.js$/.test(file));
  const [worker, ...more] = found.map((file) => readFileSync(join(assets, file)));
  if (!worker?.includes("onconnect") || more.length > 0)
    throw new Error(`The worker of "${name}" is none of ${found.join()}.`);
  return {
    build: name,
    folder,
    worker,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
