import { describe, expect, test } from "vitest";
import { build } from "./build.ts";
import type { Epoch, PortId, TabId } from "./ids.ts";
import {
  appName,
  generationKey,
  hostLock,
  identityKey,
  identityLock,
  journalName,
  tabLock,
  workerName,
} from "./names.ts";
import { protocolVersion } from "./version.ts";

const all = (what: string): string[] => [
  workerName(what),
  hostLock(what as Epoch),
  tabLock(what as PortId),
  identityLock("app", what as TabId),
  identityLock(what, "tab" as TabId),
  identityKey(what),
];

describe("a name that many tabs must agree on", () => {
  test("holds the protocol's major version where a worker of another one must not be met", () => {
    expect(workerName("x")).toMatch(new RegExp(`^comfy-tabs/${protocolVersion.major}/`));
    expect(generationKey("x")).toMatch(new RegExp(`^comfy-tabs/${protocolVersion.major}/`));
  });

  test("is the same in all versions where a tab takes along who it is and its tasks", () => {
    for (const name of [...all("x").slice(1), journalName(workerName("x"))])
      expect(name).not.toMatch(/^comfy-tabs\/\d/);
    expect(journalName("comfy-tabs/2/x#7")).toBe(journalName(workerName("x")));
  });

  test("is its own for each purpose and for each that it names", () => {
    const names = [...all("x"), ...all("y")];
    expect(new Set(names).size).toBe(names.length);
  });

  test("is no other's, though one is called like another's second generation", () => {
    const names = [workerName("x", 2), workerName("x#2"), workerName("x%232"), workerName("x")];
    expect(new Set(names).size).toBe(4);
    expect(new Set(names.map(journalName)).size).toBe(3);
    expect(journalName(workerName("x#2", 2))).toBe(journalName(workerName("x#2")));
  });

  test("leads back from a worker to the name that its app gave, whatever that is, and whoever named the worker", () => {
    for (const name of ["atelier", "x#2", "100%", "a%23b"])
      expect([appName(workerName(name)), appName(workerName(name, 3))]).toEqual([name, name]);
    expect(appName("100%")).toBe("100%");
  });

  test("is the same each time", () => {
    expect(all("x")).toEqual(all("x"));
  });

  test("is, letter by letter, what older builds of this version hold", () => {
    expect(all("x")).toEqual([
      "comfy-tabs/1/x",
      "comfy-tabs/host/x",
      "comfy-tabs/tab/x",
      "comfy-tabs/identity/app/x",
      "comfy-tabs/identity/x/tab",
      "comfy-tabs/identity/x",
    ]);
  });
});

describe("the build", () => {
  test("is what the bundler wrote in", () => {
    expect(build).toBe("test");
  });
});
