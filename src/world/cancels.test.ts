import { describe, expect, test } from "vitest";
import { cancelAtRandom, cancelsTogether, cancelTable } from "./cancels.ts";

const seeds = [1, 2, 3, 4, 5, 6];
const rounds = 42;

describe("cancelling at random moments, among the prompts of others", { timeout: 60_000 }, () => {
  test.each(["0.33.0", "0.26.0", "0.12.1", "0.3.64", "0.3.50"])(
    "stops its own task or none at %s, and says which",
    (version) => {
      const report = cancelsTogether(seeds.map((seed) => cancelAtRandom(version, seed, rounds)));
      console.log(`cancels at ComfyUI ${version}; prompts of others, all untouched: ${report.others}`);
      console.log(cancelTable(report));
      const sum = (name: "cancels" | "stopped" | "unsupported") =>
        [...report.tallies.values()].reduce((all, tally) => all + tally[name], 0);
      expect(sum("cancels")).toBe(seeds.length * rounds);
      expect(report.tallies.get("queued")?.stopped).toBeGreaterThan(20);
      expect(sum("unsupported") > 0).toBe(version === "0.3.50");
    },
  );
});
