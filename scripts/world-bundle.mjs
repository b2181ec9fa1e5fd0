/** Bundles the world of `src/world` for Node, as it is or with one planted mistake. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * @param {string} name of the bundle
 * @param {{ file: string, from: string, to: string } | undefined} mutant
 * @returns {Promise<string>} the file
 * @throws Error when the mutant's place is not there exactly once
 */
export async function bundleWorld(name, mutant) {
  const outDir = resolve(root, "build/world");
  let found = 0;
  await build({
    configFile: false,
    root,
    logLevel: "error",
    define: { __COMFY_TABS_BUILD__: JSON.stringify("world") },
    ssr: { noExternal: true },
    plugins: [
      {
        name: "plant-mistake",
        enforce: "pre",
        transform(code, id) {
          if (!mutant || !id.endsWith(`/src/${mutant.file}`)) return undefined;
          found = code.split(mutant.from).length - 1;
          return { code: code.replace(mutant.from, () => mutant.to), map: null };
        },
      },
    ],
    build: {
      ssr: resolve(root, "src/world/cli.ts"),
      outDir,
      emptyOutDir: false,
      minify: false,
      target: "node20",
      rollupOptions: { output: { entryFileNames: `${name}.mjs` } },
    },
  });
  if (mutant && found !== 1) throw new Error(`${mutant.file} has ${found} places like: ${mutant.from}`);
  return resolve(outDir, `${name}.mjs`);
}
