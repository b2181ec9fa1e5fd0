import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Epoch, PortId } from "./ids.ts";
import { hostLock, tabLock } from "./names.ts";
import {
  acknowledgeEvery,
  argumentLimit,
  type Hello,
  type HostEvent,
  type TabEnvelope,
  type Welcome,
  workflowLimit,
} from "./session-api.ts";
import type { PortTaskEvent } from "./tasks.ts";
import { protocolVersion } from "./version.ts";

const page = readFileSync(new URL("../../PROTOCOL.md", import.meta.url), "utf8");
/** What the page sets in code: whole, and word by word. */
const inCode = [...page.matchAll(/```[^`]+```|`([^`]+)`/g)].map(([block, inline]) => inline ?? block);
const words = new Set(inCode.flatMap((code) => code.split(/[^\w-]+/)));

/** The compiler asks for every name here; the test asks the page for it. */
const names = {
  "task event": {
    accepted: 0,
    queued: 0,
    started: 0,
    cached: 0,
    node: 0,
    progress: 0,
    preview: 0,
    text: 0,
    output: 0,
    warning: 0,
    gap: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    lost: 0,
  } satisfies Record<PortTaskEvent["type"], 0>,
  "kind of event": { task: 0, server: 0, transfer: 0, message: 0 } satisfies Record<HostEvent["kind"], 0>,
  "word of a page": { ack: 0, suspend: 0, resume: 0, goodbye: 0 } satisfies Record<
    TabEnvelope["comfyTabs"],
    0
  >,
  "part of a hello": {
    protocol: 0,
    build: 0,
    portId: 0,
    tabId: 0,
    tabSecret: 0,
    windowId: 0,
    servers: 0,
    tasks: 0,
    previews: 0,
    hasLock: 0,
  } satisfies Record<keyof Hello, 0>,
  "part of a welcome": {
    protocol: 0,
    build: 0,
    epoch: 0,
    mode: 0,
    servers: 0,
    tasks: 0,
  } satisfies Record<keyof Extract<Welcome, { mode: unknown }>, 0>,
  refusal: { "tab-id-taken": 0 } satisfies Record<Extract<Welcome, { refused: string }>["refused"], 0>,
};

describe("PROTOCOL.md", () => {
  test.each(Object.entries(names).flatMap(([what, all]) => Object.keys(all).map((name) => ({ what, name }))))(
    "names the $what `$name`",
    ({ name }) => {
      expect(words).toContain(name);
    },
  );

  test("is of the version that the code says", () => {
    expect(page).toContain(`Version ${protocolVersion.major}.${protocolVersion.minor}.`);
  });

  test("spells the locks as they are asked for", () => {
    expect(inCode).toContain(tabLock("<portId>" as PortId));
    expect(inCode).toContain(hostLock("<epoch>" as Epoch));
  });

  test("tells the limits in force", () => {
    expect(page).toContain(`at most ${argumentLimit / 2 ** 20} Mi characters`);
    expect(page).toContain(`at most ${workflowLimit / 2 ** 20} Mi characters`);
    const { batches, bytes } = acknowledgeEvery;
    expect(page).toContain(`at least every ${batches} batches or ${bytes / 2 ** 20} MiB of previews`);
  });
});
