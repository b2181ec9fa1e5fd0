import { describe, expect, test } from "vitest";
import { pageLimits } from "./page-limits.ts";

const app = "https://app.example/worker.js";
const knows =
  (...names: string[]) =>
  async ({ name }: { name: string }) => {
    if (!names.includes(name)) throw new TypeError(`'${name}' is not a valid enum value`);
    return { state: "denied" as const };
  };

describe("the permission for the local network", () => {
  test.each([
    ["by the name it has for this machine", "http://127.0.0.1:8188", knows("loopback-network")],
    ["by the name it has for other machines", "http://10.0.0.7:8188", knows("local-network")],
    ["by the one name it used to have", "http://127.0.0.1:8188", knows("local-network-access")],
  ])("is found %s", async (_, url, query) => {
    expect(await pageLimits(app, query)(url)).toBe("local-network-blocked");
  });

  test.each([
    ["that has none", undefined],
    ["that knows no such name", knows()],
  ])("blames nothing in a browser %s", async (_, query) => {
    expect(await pageLimits(app, query)("http://127.0.0.1:8188")).toBeUndefined();
  });
});
