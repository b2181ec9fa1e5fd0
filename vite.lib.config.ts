import { readFileSync } from "node:fs";
import { defineConfig } from "vite";

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

/** Which of the package's files this run makes. The worker is a run of its own: it must be one self-contained file. */
const entry = process.env.ENTRY ?? "index";
const entries: Record<string, { source: string; external: RegExp | undefined }> = {
  index: { source: "src/client/index.ts", external: /^nanoid$/ },
  // For pages without a bundler, which would not find nanoid.
  standalone: { source: "src/client/index.ts", external: undefined },
  worker: { source: "src/worker/main.ts", external: undefined },
  react: { source: "src/client/react/index.ts", external: /^react$/ },
  vue: { source: "src/client/vue/index.ts", external: /^vue$/ },
  compat: { source: "src/client/compat/index.ts", external: /^nanoid$/ },
  debug: { source: "src/client/debug/index.ts", external: /^nanoid$/ },
  simulator: { source: "src/simulator/index.ts", external: /^(node:|ws$)/ },
  cli: { source: "src/doctor/cli.ts", external: /^node:/ },
};
const siblings: Record<string, string> = { "../index.ts": "./index.js", "../debug/index.ts": "./debug.js" };
const { source, external } = entries[entry]!;

export default defineConfig({
  publicDir: false,
  define: { __COMFY_TABS_BUILD__: JSON.stringify(version) },
  plugins: [
    {
      // What connects is in the package once: the other entries import it from beside them.
      name: "comfy-tabs:one-client",
      enforce: "pre",
      resolveId: (id) => (siblings[id] ? { id: siblings[id], external: true } : undefined),
    },
    {
      // Comlink handles callbacks, too: that takes its whole other half along, and no page of ours passes any.
      name: "comfy-tabs:comlink-without-callbacks",
      transform(code, id) {
        if (!id.endsWith("/comlink.mjs")) return;
        const without = code.replace('["proxy", proxyTransferHandler],', "");
        if (without === code) this.error("Comlink registers its handlers in another way now");
        return without;
      },
    },
    {
      // Vite would make a worker of its own of this expression; it has to reach the app's bundler as it is.
      name: "comfy-tabs:keep-worker-url",
      enforce: "pre",
      transform: (code, id) =>
        id.includes("/src/client/")
          ? code.replaceAll('new URL("./worker.js", import.meta.url)', "__WORKER_URL__")
          : undefined,
      renderChunk: (code) => code.replaceAll("__WORKER_URL__", 'new URL("./worker.js", import.meta.url)'),
    },
  ],
  build: {
    outDir: "dist",
    emptyOutDir: false,
    target: "es2022",
    minify: entry === "simulator" ? false : "oxc",
    sourcemap: false,
    lib: { entry: source, formats: ["es"], fileName: () => `${entry}.js` },
    rollupOptions: { external: external ? (id: string) => external.test(id) : [] },
  },
});
