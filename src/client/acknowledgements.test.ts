import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { PortTaskEvent } from "../protocol/tasks.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { scriptedRealm } from "./testing/scripted.ts";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => {
  vi.useRealTimers();
  browser.end();
});

describe("acknowledgements", () => {
  const acks = (host: ReturnType<typeof scriptedRealm>) =>
    host.envelopes.flatMap(({ comfyTabs, batch }) => (comfyTabs === "ack" ? [batch] : []));
  const preview = (bytes: number): PortTaskEvent => ({
    type: "preview",
    taskId: "somebody's",
    seq: 1,
    at: 0,
    nodeId: "1",
    image: new ArrayBuffer(bytes),
  });

  test("go out every 8 batches, and earlier after a mebibyte of previews", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    await browser.openPage().connect();
    for (let batch = 1; batch <= 17; batch += 1) host.say([]);
    await expect.poll(() => acks(host)).toEqual([8, 16]);
    host.say([{ kind: "task", event: preview(600_000) }]);
    host.say([{ kind: "task", event: preview(600_000) }]);
    await expect.poll(() => acks(host)).toEqual([8, 16, 19]);
    for (let batch = 20; batch <= 27; batch += 1) host.say([]);
    await expect.poll(() => acks(host)).toEqual([8, 16, 19, 27]);
  });

  test("are not kept back by listeners that throw", async () => {
    const host = scriptedRealm();
    browser.workersAre(() => host.realm);
    const session = await browser.openPage().connect();
    session.on("message", () => {
      throw new Error("my own fault");
    });
    const message = { kind: "message", serverId: "main", type: "custom", data: 1 } as const;
    for (let number = 1; number <= 8; number += 1) host.say([{ ...message, number }]);
    await expect.poll(() => acks(host)).toEqual([8]);
  });
});
