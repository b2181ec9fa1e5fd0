import { defineConfig } from "vitest/config";

export default defineConfig({
  define: { __COMFY_TABS_BUILD__: JSON.stringify("test") },
  test: { include: ["src/**/*.test.ts", "e2e/**/*.test.ts"], environment: "node" },
});
