import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Epoch, PortId } from "./ids.ts";
import { hostLock, tabLock } from "./names.ts";
import {
  acknowledgeEvery,
  argumentLimit,
  type EventEnvelope,
  type Hello,
  type HostEvent,
  type TabEnvelope,
  type Welcome,
  workflowLimit,
} from "./session-api.ts";
import type { PortTaskEvent } from "./tasks.ts";
import { protocolVersion } from "./version.ts";

const page = readFileSync(new URL("../../PROTOCOL.md", import.meta.url), "utf8");
/** What is set in code, inline and in blocks. */
const codeIn = (text: string): string[] =>
  [...text.matchAll(/```([^`]+)```|`([^`]+)`/g)].map(([, block, inline]) => block ?? inline ?? "");

type Names<Name extends PropertyKey> = { readonly [N in Name]: 0 };

/** The compiler asks for every name here. */
const taskEvents: Names<PortTaskEvent["type"]> = {
  ...{ accepted: 0, queued: 0, started: 0, cached: 0, node: 0, progress: 0, preview: 0, text: 0 },
  ...{ output: 0, warning: 0, gap: 0, succeeded: 0, failed: 0, cancelled: 0, lost: 0 },
};
const eventKinds: Names<HostEvent["kind"]> = {
  task: 0,
  server: 0,
  transfer: 0,
  lock: 0,
  journal: 0,
  message: 0,
};
const pageWords: Names<TabEnvelope["comfyTabs"]> = {
  ack: 0,
  locked: 0,
  noted: 0,
  suspend: 0,
  resume: 0,
  goodbye: 0,
};
const hello: Names<keyof Hello> = {
  ...{ protocol: 0, build: 0, portId: 0, tabId: 0, tabSecret: 0, isNew: 0, windowId: 0 },
  ...{ servers: 0, tasks: 0, locks: 0, previews: 0, hasLock: 0, hasLockSoon: 0, hasAsked: 0, losses: 0 },
};
const welcome: Names<keyof Extract<Welcome, { mode: unknown }>> = {
  ...{ protocol: 0, build: 0, epoch: 0, mode: 0, servers: 0, tasks: 0, locks: 0, journal: 0 },
};
const refusals: Names<Extract<Welcome, { refused: string }>["refused"]> = { "tab-id-taken": 0 };
const envelope: Names<keyof EventEnvelope> = { comfyTabs: 0, epoch: 0, batch: 0, events: 0 };

describe("PROTOCOL.md", () => {
  test.each<[string, string, object]>([
    ["task event", "Task events have", taskEvents],
    ["kind of event", "| `kind`", eventKinds],
    ["word of a page", "| `comfyTabs`", pageWords],
    ["part of a hello", "2. It connects", hello],
    ["part of a welcome", "4. The host answers", welcome],
    ["refusal", "4. The host answers", refusals],
    ["part of an envelope", "### `events`", envelope],
  ])("names every %s where it says `%s`", (_, start, all) => {
    const from = page.slice(page.indexOf(`\n${start}`));
    // An item or a table is one paragraph; after a heading there are two.
    const paragraphs = from.trimStart().split(/\n\n|\n\d\. /);
    const said = codeIn(paragraphs.slice(0, start.startsWith("#") ? 2 : 1).join("\n\n"));
    expect(said.flatMap((code) => code.split(/[^\w-]+/))).toEqual(expect.arrayContaining(Object.keys(all)));
  });

  test("is of the version that the code says", () => {
    expect(page).toContain(`Version ${protocolVersion.major}.${protocolVersion.minor}.`);
  });

  test("spells the locks as they are asked for", () => {
    expect(codeIn(page)).toContain(tabLock("<portId>" as PortId));
    expect(codeIn(page)).toContain(hostLock("<epoch>" as Epoch));
  });

  test("tells the limits in force", () => {
    expect(page).toContain(`at most ${argumentLimit / 2 ** 20} Mi characters`);
    expect(page).toContain(`at most ${workflowLimit / 2 ** 20} Mi characters`);
    const { batches, bytes } = acknowledgeEvery;
    expect(page).toContain(`at least every ${batches} batches or ${bytes / 2 ** 20} MiB of previews`);
  });
});
