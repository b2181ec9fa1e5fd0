import { describe, expect, test } from "vitest";
import type { Upload } from "./answers.ts";
import { createComfyServer } from "./comfy-server.ts";
import { type Heard, type Replay, type ReplayOptions, readLines, replay } from "./transcript-replay.ts";

function expectSameAnswers({ answers }: Replay, except: readonly string[] = []): void {
  expect(answers.length).toBeGreaterThan(0);
  for (const { to, recorded, simulated } of answers)
    if (!except.includes(to)) expect(simulated, to).toEqual(recorded);
}

describe("the simulator answers and sends exactly what was recorded, frame by frame", () => {
  const plainText = {
    prompt: {
      1: { class_type: "ProtoConst", inputs: { value: 450887252 } },
      2: { class_type: "ProtoOut", inputs: { value: ["1", 0], tag: "x" } },
    },
    client_id: "95803d7a-a26f-400c-98a7-c26414024615",
  };
  test.each<[recording: string, options?: ReplayOptions, except?: readonly string[]]>([
    ["01-single-progress-legacy-previews"],
    ["01b-single-progress-legacy-previews-png"],
    ["02-single-progress-metadata-previews"],
    ["02b-feature-flags-edge-cases"],
    ["03-cached-rerun"],
    ["04-validation-errors", { unrecorded: [JSON.stringify(plainText)] }],
    ["05-node-execution-error"],
    ["06-execution-blocker-nonterminal-error"],
    ["07-interrupt-running"],
    ["09-delete-queued-and-clear"],
    ["11-same-clientid-two-sockets"],
    ["12-disconnect-reconnect-midrun"],
    ["14-client-chosen-prompt-id"],
    ["18-no-client-id-broadcasts"],
    ["19-text-frames-and-custom-events"],
    // What ran before the recording began is in the real one's list of jobs.
    ["28-poison-inputs", {}, ["GET /api/jobs?limit=1"]],
    ["29-queue-listing-order"],
    ["40-old-version-v0.12.1", { version: "0.12.1" }, ["GET /system_stats"]],
  ])("%s", (recording, options = {}, except = []) => {
    const run = replay(recording, options);
    if (run.answers.length > 0) expectSameAnswers(run, except);
    for (const [who, { recorded, simulated }] of run.sockets) expect(simulated, who).toEqual(recorded);
  });
});

/** Where requests and runs overlap, timing decides where the frames about the queue stand among the others. */
function withoutQueueing(frames: readonly Heard[]): Heard[] {
  return frames.filter(({ kind }) => kind !== "status");
}

const statusCount = (frames: readonly Heard[]): number => frames.length - withoutQueueing(frames).length;

test.each(["08-interrupt-queued-and-jobs-cancel", "10-two-clients-parallel", "16-twenty-queued-at-once"])(
  "%s: every socket hears the same, and as often of the queue",
  (recording) => {
    const run = replay(recording);
    expectSameAnswers(run);
    for (const [who, { recorded, simulated }] of run.sockets) {
      expect(withoutQueueing(simulated), who).toEqual(withoutQueueing(recorded));
      expect(statusCount(simulated), who).toBe(statusCount(recorded));
      expect(simulated.at(-1), who).toEqual(recorded.at(-1));
    }
  },
);

/** The kinds of frames in their order, with repeated steps as one. */
function kindsOf(frames: readonly Heard[]): string {
  const kinds = frames.map(({ kind }) => `${kind} `).join("");
  return kinds.replace(/((?:(?:progress_state|progress|bin:\d) )+?)\1+/g, "$1").trimEnd();
}

/** The names and types of all that is in a value. Objects by ids count as one. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return [...new Set(value.map((part) => JSON.stringify(shapeOf(part))))].sort();
  if (typeof value !== "object" || value === null) return value === null ? "null" : typeof value;
  const named = Object.entries(value).map(([name, part]) => {
    return [/^\d+$/.test(name) ? "id" : name, shapeOf(part)] as const;
  });
  return Object.fromEntries(named.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test.each<[recording: string, version: string, except: readonly string[]]>([
  // ComfyUI keeps a prompt's outputs in a set: which of three goes first is another in every process.
  ["27-partial-execution-and-multi-output", "0.33.0", ["GET /history/…"]],
  ["40-old-version-v0.3.64", "0.3.64", ["GET /system_stats"]],
  ["40-old-version-v0.3.42", "0.3.42", ["GET /system_stats"]],
])("%s: every socket hears the same kinds of frames with the same fields", (recording, version, except) => {
  const run = replay(recording, { version });
  expectSameAnswers(run, except);
  for (const [who, { recorded, simulated }] of run.sockets) {
    expect(kindsOf(simulated), who).toBe(kindsOf(recorded));
    expect(shapeOf(simulated), who).toEqual(shapeOf(recorded));
  }
});

test("25-upload-view-misc-endpoints: files, and what is asked for between prompts, are answered as recorded", () => {
  const upload = (bytes: number, fields: Upload["fields"] = {}, name = "proto-451117938.png"): Upload => ({
    fields,
    file: { filename: name, mime: "image/png", bytes: Uint8Array.of(bytes) },
  });
  const original = { filename: "proto-451117938.png", subfolder: "", type: "input" };
  const run = replay("25-upload-view-misc-endpoints", {
    unrecorded: [
      upload(1),
      upload(1),
      upload(2),
      upload(2, { overwrite: "true" }),
      upload(1, { subfolder: "sub/dir", type: "temp" }),
      upload(1, { subfolder: "../.." }),
      { fields: {}, file: undefined },
      upload(1, { type: "bad" }),
      upload(3, { original_ref: JSON.stringify(original) }, "mask-proto-451117938.png"),
    ],
  });
  expectSameAnswers(run, [
    // These list what the real server had seen and been given before.
    "GET /history?max_items=1&offset=0",
    "GET /api/jobs?status=completed,failed&limit=1&sort_by=execution_duration&sort_order=asc",
    "GET /models",
    "GET /system_stats",
  ]);
  for (const [who, { recorded, simulated }] of run.sockets)
    expect(kindsOf(simulated), who).toBe(kindsOf(recorded));
});

describe("33-lost-interrupt-race: an interrupt right after the answer to a prompt", () => {
  const graph = {
    1: {
      class_type: "ProtoSteps",
      inputs: { steps: 8, delay_ms: 20, preview: "none", preview_size: 64, seed: 1 },
    },
    2: { class_type: "ProtoOut", inputs: { value: ["1", 1], tag: "t" } },
  };
  /** The kinds of frames of each run in the recording. */
  const recorded = readLines("33-lost-interrupt-race")
    .filter(({ ch, dir, kind }) => ch === "ws" && dir === "s2c" && kind !== "opened" && kind !== "closed")
    .map(({ kind, payload }) => ({ kind, data: (payload as { data: unknown }).data }))
    .slice(1);

  /** @param after the frame that the client waits for before it sends the interrupt; none: it does not wait */
  function interruptedRun(after: string | undefined): string {
    const server = createComfyServer();
    const heard: Heard[] = [];
    const frame = (text: unknown): void => {
      const { type, data } = JSON.parse(String(text));
      heard.push({ kind: type, data });
    };
    server.connect("anna", { frame, closed: () => {} });
    const body = JSON.stringify({ prompt: graph, client_id: "anna" });
    const { prompt_id } = JSON.parse(String(server.request("POST", "/prompt", body).body));
    while (after !== undefined && !heard.some(({ kind }) => kind === after)) server.advanceTo(server.nextAt!);
    server.request("POST", "/interrupt", JSON.stringify({ prompt_id }));
    server.settle();
    return kindsOf(heard.slice(1));
  }

  function recordedRuns(): Set<string> {
    const runs: Heard[][] = [[]];
    for (const frame of recorded) {
      runs.at(-1)!.push(frame);
      if (frame.kind === "executing" && (frame.data as { node: unknown }).node === null) runs.push([]);
    }
    return new Set(runs.slice(0, -1).map(kindsOf));
  }

  test("is lost if the prompt was not yet picked up, and ends it otherwise, in one of the recorded ways", () => {
    const lost = interruptedRun(undefined);
    const [early, late] = [interruptedRun("executing"), interruptedRun("progress")];
    expect(lost).toContain("execution_success");
    for (const run of [early, late]) expect(run).toContain("execution_interrupted");
    expect(new Set([lost, early, late])).toEqual(recordedRuns());
  });
});
