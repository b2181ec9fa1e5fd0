/**
 * Tabs in a real browser that work while everything goes wrong, for as long as asked, and what came of it.
 *
 *   npm run chaos -- [--minutes 20] [--seed N]
 *
 * With `COMFYUI_URL` they work at a real server, behind the same failing network.
 */
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { provideChromium } from "./chromium.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});
const [minutes, seed] = [Number(values.minutes), Number(values.seed)];
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error("--minutes has to be a positive number, and --seed a whole one.");
  process.exit(1);
}

console.log(`${minutes} minutes of chaos with seed ${seed}`);
const { status } = spawnSync("npx", ["playwright", "test", "e2e/chaos.spec.ts", "--project", "built"], {
  stdio: "inherit",
  env: {
    ...process.env,
    CHROMIUM: provideChromium(),
    CHAOS_SECONDS: String(minutes * 60),
    CHAOS_SEED: String(seed),
  },
});
process.exit(status ?? 1);
