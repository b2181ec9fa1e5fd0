import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Abilities, abilities, compareVersions, readVersion } from "./versions.ts";

const stats = (system: unknown): string => JSON.stringify({ system, devices: [] });

describe("a server's version", () => {
  test("is what its statistics say", () => {
    expect(readVersion(stats({ os: "posix", comfyui_version: "0.33.0" }))).toBe("0.33.0");
  });

  test.each(["", "<html>", "[]", "{}", stats(null), stats({}), stats({ comfyui_version: 33 })])(
    "is unknown from %j",
    (text) => {
      expect(readVersion(text)).toBeUndefined();
    },
  );
});

describe("two versions", () => {
  test.each<[string, "<" | "=" | ">", string]>([
    ["0.3.9", "<", "0.3.10"],
    ["0.3.99", "<", "0.4"],
    ["0.25", "=", "0.25.0"],
    ["v0.26.0", "=", "0.26.0"],
    ["0.26.0-dev.3", "=", "0.26.0"],
    ["0.26.0rc1", "=", "0.26.0"],
    ["0.26.1+local", ">", "0.26.0"],
    ["0.3.57.1", "=", "0.3.57"],
    ["1.0", ">", "0.99.99"],
    ["junk", "<", "0.0.1"],
  ])("%s %s %s", (a, sign, b) => {
    const difference = compareVersions(a, b);
    expect(difference < 0 ? "<" : difference > 0 ? ">" : "=").toBe(sign);
  });

  test("are in the order of their numbers, whichever comes first", () => {
    const numbers = fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50));
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const place = [0, 1, 2].find((one) => a[one] !== b[one]) ?? 0;
        const wanted = Math.sign((a[place] as number) - (b[place] as number));
        expect(Math.sign(compareVersions(a.join("."), b.join(".")))).toBe(wanted);
        expect(Math.sign(compareVersions(b.join("."), a.join("."))) + wanted).toBe(0);
      }),
    );
  });
});

describe("what a server can do", () => {
  test.each<[keyof Abilities, string, string]>([
    ["chosenPromptId", "0.3.44", "0.3.45"],
    ["metadataPreviews", "0.3.44", "0.3.45"],
    ["targetedInterrupt", "0.3.56", "0.3.57"],
    ["jobs", "0.5.9", "0.6.0"],
    ["uuidOnly", "0.24.9", "0.25.0"],
    ["cancelJob", "0.25.9", "0.26.0"],
  ])("%s: not in %s, but in %s", (ability, before, since) => {
    expect(abilities(before)[ability]).toBe(false);
    expect(abilities(since)[ability]).toBe(true);
    expect(abilities(`v${since}-dev`)[ability]).toBe(true);
    expect(abilities("1.0.0")[ability]).toBe(true);
  });

  test.each([undefined, "", "unknown", "7", "nightly"])(
    "of version %j: nothing that could hit other people's prompts",
    (version) => {
      expect(abilities(version)).toEqual({
        chosenPromptId: true,
        metadataPreviews: true,
        targetedInterrupt: false,
        jobs: false,
        uuidOnly: true,
        cancelJob: false,
      });
    },
  );
});
