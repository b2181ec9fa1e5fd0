import { describe, expect, test } from "vitest";
import { build } from "./build.ts";
import type { Epoch, PortId, TabId } from "./ids.ts";
import { hostLock, identityKey, identityLock, tabLock, workerName } from "./names.ts";
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
  test.each(all("x"))("%s holds the protocol's major version: another one never meets it", (name) => {
    expect(name).toMatch(new RegExp(`^comfy-tabs/${protocolVersion.major}/`));
  });

  test("is its own for each purpose and for each that it names", () => {
    const names = [...all("x"), ...all("y")];
    expect(new Set(names).size).toBe(names.length);
  });

  test("is the same each time", () => {
    expect(all("x")).toEqual(all("x"));
  });

  test("is, letter by letter, what older builds of this version hold", () => {
    expect(all("x")).toEqual([
      "comfy-tabs/1/x",
      "comfy-tabs/1/host/x",
      "comfy-tabs/1/tab/x",
      "comfy-tabs/1/identity/app/x",
      "comfy-tabs/1/identity/x/tab",
      "comfy-tabs/1/identity/x",
    ]);
  });
});

describe("the build", () => {
  test("is what the bundler wrote in", () => {
    expect(build).toBe("test");
  });
});
