import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import { outputFiles } from "./files.ts";
import { readHistory } from "./history.ts";
import { readCancelled, readJob } from "./jobs.ts";
import { readPromptAnswer } from "./prompt.ts";
import { readQueue, readQueueRemaining } from "./queue.ts";
import { readVersion } from "./versions.ts";
import { checkWorkflow } from "./workflow.ts";

interface Line {
  readonly file: string;
  readonly dir: "c2s" | "s2c" | "note";
  readonly ch: string;
  readonly kind: string;
  readonly payload: unknown;
}

interface BinaryFrame {
  readonly len: number;
  readonly head_hex: string;
  readonly decoded: {
    readonly image_type?: number;
    readonly metadata?: { readonly [name: string]: string | null };
    readonly node_id?: string;
    readonly text?: string;
  };
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const folder = new URL("./fixtures/", import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, folder), "utf8");

const recordings = readdirSync(new URL("transcripts/", folder)).sort();
const lines: Line[] = recordings.flatMap((file) =>
  read(`transcripts/${file}`)
    .trimEnd()
    .split("\n")
    .map((line) => ({ ...JSON.parse(line), file })),
);

const frames = lines.filter(({ dir, ch }) => dir === "s2c" && ch === "ws");
const textFrames = frames
  .filter(({ kind }) => kind !== "opened" && kind !== "closed" && !kind.startsWith("bin:"))
  .map(({ payload }) => JSON.stringify(payload));
const binaryFrames = (type: 1 | 3 | 4): BinaryFrame[] =>
  frames.filter(({ kind }) => kind === `bin:${type}`).map(({ payload }) => payload as BinaryFrame);

/** Recorded answers to requests whose kind begins so, with their bodies as the text they were. */
const answers = (request: string): (Answer & { kind: string; text: string })[] =>
  lines
    .filter(({ dir, ch, kind }) => dir === "s2c" && ch === "http" && kind.startsWith(request))
    .map(({ kind, payload }) => {
      const { status, body } = payload as Answer;
      return { kind, status, body, text: typeof body === "string" ? body : JSON.stringify(body) };
    });

const bytesOf = (hex: string): number[] => (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));

/** Frames have up to 12 MB: compared as bytes, not element by element. */
function expectSameBytes(made: string | Uint8Array, wanted: Uint8Array): void {
  expect(typeof made).toBe("object");
  expect(Buffer.compare(made as Uint8Array, wanted), "where two frames differ").toBe(0);
}

/** The frame behind a recorded beginning: what was not kept are zeros. */
function rebuilt({ len, head_hex, decoded }: BinaryFrame): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(len);
  frame.set(bytesOf(head_hex));
  if (decoded.metadata) {
    const fields = Object.entries(decoded.metadata).map(
      ([name, value]) => `"${name}": ${JSON.stringify(value)}`,
    );
    frame.set(new TextEncoder().encode(`{${fields.join(", ")}}`), 8);
  }
  return frame;
}

describe("the recorded text frames", () => {
  test("are many", () => expect(textFrames.length).toBeGreaterThan(3000));

  test("are all understood", () => {
    const malformed = textFrames.filter((frame) => decodeMessage(frame).type === "malformed");
    expect(malformed).toEqual([]);
  });

  test("come out of the encoder as they went into the decoder", () => {
    for (const frame of textFrames) {
      const encoded = encodeMessage(decodeMessage(frame));
      expect(JSON.parse(encoded as string)).toEqual(JSON.parse(frame));
    }
  });

  test("are custom only where a custom node or the log sent them", () => {
    const custom = textFrames.map(decodeMessage).filter((message) => message.type === "custom");
    expect(new Set(custom.map(({ name }) => name))).toEqual(
      new Set(["logs", "proto.custom", "proto.private"]),
    );
  });

  test("hold two failures, and one blocker's error, which ends nothing", () => {
    const errors = textFrames.map(decodeMessage).filter((message) => message.type === "execution_error");
    expect(errors.map(({ blocked }) => blocked)).toEqual([false, false, true]);
  });
});

describe("the recorded binary frames", () => {
  test("of type 1 are previews without ids", () => {
    const recorded = binaryFrames(1);
    expect(recorded.length).toBeGreaterThan(0);
    for (const frame of recorded) {
      const bytes = rebuilt(frame);
      const message = decodeMessage(bytes.buffer);
      expect(message).toMatchObject({
        type: "preview",
        promptId: undefined,
        nodeId: undefined,
        mime: frame.decoded.image_type === 2 ? "image/png" : "image/jpeg",
        image: { length: frame.len - 8 },
      });
      expectSameBytes(encodeMessage(message), bytes);
    }
  });

  test("of type 3 are texts", () => {
    const recorded = binaryFrames(3);
    expect(recorded.length).toBeGreaterThan(0);
    for (const frame of recorded) {
      const bytes = new Uint8Array(bytesOf(frame.head_hex));
      expect(bytes).toHaveLength(frame.len);
      const message = decodeMessage(bytes.buffer);
      expect(message).toEqual({ type: "text", nodeId: frame.decoded.node_id, text: frame.decoded.text });
      expectSameBytes(encodeMessage(message), bytes);
    }
  });

  test("of type 4 are previews with their header's ids", () => {
    const recorded = binaryFrames(4);
    expect(recorded.length).toBeGreaterThan(0);
    for (const frame of recorded) {
      const bytes = rebuilt(frame);
      expect([...bytes.subarray(0, 64)]).toEqual(bytesOf(frame.head_hex));
      const { metadata = {} } = frame.decoded;
      const message = decodeMessage(bytes.buffer);
      expect(message).toMatchObject({
        type: "preview",
        promptId: metadata.prompt_id,
        nodeId: metadata.node_id,
        displayNodeId: metadata.display_node_id,
        realNodeId: metadata.real_node_id,
        mime: metadata.image_type,
      });
      expectSameBytes(encodeMessage(message), bytes);
    }
  });
});

describe("the recorded answers", () => {
  test("to POST /prompt are accepted, rejected, or unreadable with a 500", () => {
    const outcomes = new Map<string, number>();
    for (const { status, text } of answers("POST /prompt ->")) {
      const key = `${status} ${readPromptAnswer(status, text).outcome}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    }
    expect(Object.fromEntries(outcomes)).toEqual({
      "200 accepted": 135,
      "400 rejected": 26,
      "500 unreadable": 11,
    });
  });

  test("to POST /prompt keep every word of a refusal", () => {
    for (const { status, text, body } of answers("POST /prompt -> 400")) {
      const answer = readPromptAnswer(status, text);
      const { error, node_errors } = body as {
        error: { type: string; message: string };
        node_errors: object;
      };
      expect(answer).toMatchObject({ error: { type: error.type, message: error.message } });
      expect(Object.keys(answer.outcome === "rejected" ? answer.nodeErrors : {})).toEqual(
        Object.keys(node_errors),
      );
    }
  });

  test("to GET /queue are queues, in the order of running", () => {
    const queues = [...answers("GET /queue -> 200"), ...answers("GET /api/queue -> 200")];
    expect(queues.length).toBeGreaterThan(0);
    for (const { text, body } of queues) {
      const queue = readQueue(text);
      const { queue_running, queue_pending } = body as { queue_running: unknown[]; queue_pending: unknown[] };
      expect(queue?.running).toHaveLength(queue_running.length);
      expect(queue?.pending).toHaveLength(queue_pending.length);
      const numbers = queue?.pending.map(({ number }) => number) ?? [];
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
    }
    for (const { text } of answers("GET /queue -> 403")) expect(readQueue(text)).toBeUndefined();
  });

  test("to GET /prompt tell the queue's length", () => {
    const counts = answers("GET /prompt -> 200");
    expect(counts.length).toBeGreaterThan(0);
    for (const { text } of counts) expect(readQueueRemaining(text)).toEqual(expect.any(Number));
  });

  test("to GET /history/{id} tell the ending, or that there is none", () => {
    const endings = new Map<string, number>();
    for (const { kind, text, body } of answers("GET /history/")) {
      const promptId = kind.slice("GET /history/".length, kind.indexOf(" ->"));
      const entry = readHistory(text, promptId);
      const ending = typeof entry === "object" ? entry.ending : String(entry);
      endings.set(ending, (endings.get(ending) ?? 0) + 1);
      const recorded = (body as { [id: string]: { outputs: object } })[promptId];
      if (recorded) expect(entry).toMatchObject({ outputs: recorded.outputs });
    }
    expect(Object.fromEntries(endings)).toEqual({ success: 20, error: 2, interrupted: 1, unknown: 6 });
  });

  test("to GET /history are readable for each prompt in it", () => {
    for (const { text, status, body } of answers("GET /history")) {
      if (status !== 200) expect(readHistory(text, "x")).toBeUndefined();
      else
        for (const promptId of Object.keys(body as object))
          expect(readHistory(text, promptId)).toMatchObject({ promptId });
    }
  });

  test("to GET /api/jobs/{id} are jobs, unknown, or unreadable with a 500", () => {
    const read = answers("GET /api/jobs/").map(({ status, text }) => {
      const job = readJob(status, text);
      return typeof job === "object" ? job.status : String(job);
    });
    expect(read.sort()).toEqual([
      "cancelled",
      "cancelled",
      "completed",
      "completed",
      "failed",
      "undefined",
      "unknown",
      "unknown",
      "unknown",
    ]);
  });

  test("to POST /api/jobs/{id}/cancel say whether it did", () => {
    const said = answers("POST /api/jobs/9eb9b065").map(({ text }) => readCancelled(text));
    expect(said).toEqual([true, false]);
  });

  test("to GET /system_stats tell the version", () => {
    const versions = answers("GET /system_stats").map(({ text }) => readVersion(text));
    expect(versions.sort()).toEqual(["0.12.1", "0.3.42", "0.3.64", "0.33.0"]);
  });
});

describe("the recorded outputs", () => {
  test("have files wherever they have file names", () => {
    const outputs = textFrames.map(decodeMessage).filter((message) => message.type === "executed");
    const named = outputs.filter(({ output }) => JSON.stringify(output).includes('"filename"'));
    expect(named.length).toBeGreaterThan(0);
    for (const { nodeId, output } of named)
      expect(outputFiles(nodeId, output)[0]).toMatchObject({ kind: "image", nodeId });
  });
});

describe("the workflows that a real server ran", () => {
  test.each(readdirSync(new URL("workflows/", folder)))("%s is valid", (file) => {
    expect(checkWorkflow(JSON.parse(read(`workflows/${file}`)))).toBeUndefined();
  });
});
