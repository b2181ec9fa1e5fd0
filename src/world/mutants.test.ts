import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mutants } from "./mutants.ts";

const sources = join(import.meta.dirname, "..");

test.each(mutants)("the mistake that $name has its one place in the code", ({ file, from }) => {
  const pieces = readFileSync(join(sources, file), "utf8").split(from);
  expect(pieces).toHaveLength(2);
});
