import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const testFiles = ["src", "e2e"].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(test|spec)\.ts$/.test(path))
    .map((path) => join(root, folder, path)),
);
const tests = testFiles.map((path) => readFileSync(path, "utf8")).join("\n");

const rows = readFileSync(join(root, "docs/guarantees.md"), "utf8")
  .split("\n")
  .flatMap((line) => {
    const [, promise, , proofs] = line.split("|");
    return promise && /^ G\d /.test(promise) ? [{ promise: promise.trim(), proofs: proofs ?? "" }] : [];
  });
/** In backticks and with a space: the name of a test. Without one it is a word of the code. */
const named = rows.flatMap(({ promise, proofs }) =>
  [...proofs.matchAll(/`([^`]*)`/g)].flatMap(([, name]) => (name?.includes(" ") ? [{ promise, name }] : [])),
);

describe("the page of guarantees", () => {
  test("has a row for each promise", () => {
    expect(rows.map(({ promise }) => promise)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((one) => `G${one}`));
  });

  test.each(named)("names for $promise a test that there is: $name", ({ name }) => {
    expect(tests.includes(`"${name}"`) || tests.includes(`\`${name}\``)).toBe(true);
  });

  test("names a test for each promise about what happens; the ninth is about what can be read", () => {
    const tested = [...new Set(named.map(({ promise }) => promise))];
    expect(tested).toEqual(expect.arrayContaining(["G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"]));
  });
});
