import { describe, expect, test } from "vitest";
import { blockOf } from "./diagnosis.ts";

const app = "https://app.example/worker.js";
const here = "http://127.0.0.1:5173/worker.js";

describe("a browser", () => {
  test.each([
    ["http://gpu.example:8188", app, undefined, "mixed-content"],
    ["http://192.168.1.7:8188", app, undefined, "mixed-content"],
    ["http://gpu.example:8188", app, "granted", "mixed-content"],
    ["http://192.168.1.7:8188", app, "prompt", "local-network-blocked"],
    ["http://127.0.0.1:8188", app, "denied", "local-network-blocked"],
    ["http://gpu.local:8188", app, "denied", "local-network-blocked"],
    ["https://[fd00::1]", "http://app.example/", "denied", "local-network-blocked"],
  ] as const)("keeps %s from %s with its permission %s: %s", (url, page, permission, block) => {
    expect(blockOf(url, page, permission)).toBe(block);
  });

  test.each([
    ["https://gpu.example", app, undefined],
    ["http://127.0.0.1:8188", app, undefined],
    ["http://[::1]:8188", app, undefined],
    ["http://127.0.0.1:8188", app, "granted"],
    ["http://192.168.1.7:8188", app, "granted"],
    ["https://gpu.example", app, "denied"],
    ["http://127.0.0.1:8188", here, "prompt"],
    ["http://192.168.1.7:8188", "http://nas:8080/", "denied"],
    ["http://gpu.example", "http://app.example/", "denied"],
  ] as const)("does not keep %s from %s with its permission %s", (url, page, permission) => {
    expect(blockOf(url, page, permission)).toBeUndefined();
  });
});
