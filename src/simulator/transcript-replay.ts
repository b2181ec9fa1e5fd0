import { readFileSync } from "node:fs";
import type { Answer, Request } from "./answers.ts";
import { createComfyServer } from "./comfy-server.ts";
import type { ServerSocket } from "./sockets.ts";
import type { Frame } from "./wire.ts";

/** One line of a recording of a real ComfyUI. */
interface Line {
  readonly t_ms: number;
  readonly dir: "c2s" | "s2c" | "note";
  readonly ch: "ws" | "http" | "-";
  readonly kind: string;
  /** Which socket, or which caller of HTTP. */
  readonly who: string;
  readonly payload: unknown;
}

/** A frame as it is compared: what differs from run to run is masked. */
export interface Heard {
  readonly kind: string;
  readonly data: unknown;
}

/** What came of the same requests at the same times, from the real server and from the simulated one. */
export interface Replay {
  readonly sockets: ReadonlyMap<string, { readonly recorded: Heard[]; readonly simulated: Heard[] }>;
  readonly answers: readonly {
    readonly to: string;
    readonly recorded: unknown;
    readonly simulated: unknown;
  }[];
}

export interface ReplayOptions {
  /** @default "0.33.0" */
  readonly version?: string | undefined;
  /** The bodies of requests that were recorded without, in their order. */
  readonly unrecorded?: readonly Request["body"][];
}

const folder = new URL("../comfy/fixtures/transcripts/", import.meta.url);

export function readLines(recording: string): Line[] {
  const text = readFileSync(new URL(`${recording}.jsonl`, folder), "utf8").trimEnd();
  return text.split("\n").map((line) => JSON.parse(line));
}

/** Prompts that the real server had taken before are made up for, so that the numbers are the same. */
export function replay(recording: string, options: ReplayOptions = {}): Replay {
  const lines = readLines(recording);
  const run = play(lines, options, 0);
  const accepted = run.answers.find(
    ({ to, recorded }) => to === "POST /prompt" && (recorded as { status: number }).status === 200,
  );
  if (accepted === undefined) return run;
  const numberIn = (answer: unknown): number => (answer as { body: { number: number } }).body.number;
  return play(lines, options, numberIn(accepted.recorded) - numberIn(accepted.simulated));
}

function play(lines: readonly Line[], options: ReplayOptions, earlierPrompts: number): Replay {
  const server = createComfyServer({ version: options.version ?? "0.33.0", historyDelayMs: 0.2 });
  for (let count = 0; count < earlierPrompts; count += 1) server.request("POST", "/prompt", "{}");
  const start = server.now;
  const open = new Map<string, ServerSocket>();
  const heard = new Map<string, { recorded: unknown[]; simulated: unknown[] }>();
  const answers: { to: string; recorded: unknown; simulated: unknown }[] = [];
  const answered = new Set<Line>();
  /** Ids that the simulator made, and those in the recording that stand in their place. */
  const ids = new Map<string, string>();
  const ours = (text: string): string =>
    [...ids].reduce((changed, [own, theirs]) => changed.replaceAll(theirs, own), text);
  const unrecorded = [...(options.unrecorded ?? [])];
  let late = 0;

  /** A real server's steps take a little longer: what it had ended by now has to have ended here. */
  function catchUp(at: number): void {
    server.advanceTo(start + at + late);
    const isBehind = (): boolean =>
      [...heard.values()].some(
        ({ recorded, simulated }) => simulated.filter(isEnd).length < recorded.filter(isEnd).length,
      );
    while (isBehind() && server.nextAt !== undefined) {
      late += server.nextAt - server.now;
      server.advanceTo(server.nextAt);
    }
  }

  function connect({ who, payload }: Line): void {
    const clientId = new URL((payload as { url: string }).url).searchParams.get("clientId") ?? "";
    const frames = { recorded: [] as unknown[], simulated: [] as unknown[] };
    heard.set(who, frames);
    const frame = (sent: Frame): void => {
      frames.simulated.push(decoded(sent));
    };
    const closed = (code: number): void => {
      frames.simulated.push({ type: "closed", data: code });
    };
    open.set(who, server.connect(clientId, { frame, closed }));
    const sid = (frame: unknown): string => (frame as { data: { sid: string } }).data.sid;
    const theirs = lines.find((line) => line.who === who && line.kind === "status");
    if (theirs !== undefined) ids.set(sid(frames.simulated[0]), sid(theirs.payload));
  }

  function bodyOf(payload: unknown): Request["body"] {
    const raw = payload as { headers?: unknown; body?: string | null } | null;
    if (payload === "<multipart>" || raw?.body === null) return unrecorded.shift();
    if (raw?.headers !== undefined) return raw.body ?? undefined;
    return payload === null ? undefined : ours(JSON.stringify(payload));
  }

  function ask({ kind, who, payload }: Line): void {
    const [method, target] = kind.split(/ (.*)/) as [string, string];
    const answer = server.request(method, ours(target), bodyOf(payload));
    const reply = lines.find(
      (line) =>
        line.who === who && line.dir === "s2c" && line.kind.startsWith(`${kind} -> `) && !answered.has(line),
    );
    if (reply === undefined) return;
    answered.add(reply);
    const recorded = reply.payload as RecordedAnswer;
    const simulated: RecordedAnswer = { status: answer.status, body: readBody(answer) };
    const [own, theirs] = [simulated, recorded].map(
      ({ body }) => (body as { prompt_id?: string })?.prompt_id,
    );
    if (own !== undefined && theirs !== undefined) ids.set(own, theirs);
    answers.push({
      to: kind,
      recorded: { status: recorded.status, body: isBytes(recorded.body) ? "bytes" : recorded.body },
      simulated,
    });
  }

  for (const line of lines) {
    const { dir, ch, kind, who, payload } = line;
    if (dir === "c2s") {
      catchUp(line.t_ms);
      if (ch === "http") ask(line);
      else if (kind === "open") connect(line);
      else if (kind === "close") open.get(who)?.close();
      else open.get(who)?.receive(typeof payload === "string" ? payload : JSON.stringify(payload));
    } else if (ch === "ws") {
      const frame = recordedFrame(kind, payload);
      if (frame !== undefined) heard.get(who)?.recorded.push(frame);
    } else if (dir === "note" && isRestart(payload)) server.restart();
  }
  server.settle(server.now + 60_000);

  const masked = (value: unknown): unknown => {
    const text = [...ids].reduce(
      (changed, [own, theirs]) => changed.replaceAll(own, theirs),
      JSON.stringify(value),
    );
    return mask(JSON.parse(text));
  };
  const named = (frame: unknown): Heard => {
    const { type, data } = masked(frame) as { type: string; data: unknown };
    return { kind: type, data };
  };
  return {
    sockets: new Map(
      [...heard].map(([who, { recorded, simulated }]) => [
        who,
        { recorded: recorded.map(named), simulated: simulated.map(named) },
      ]),
    ),
    answers: answers.map(({ to, recorded, simulated }) => ({
      to: to.replace(/[\da-f]{8}-[\da-f-]{27}/, "…"),
      recorded: masked(recorded),
      simulated: masked(simulated),
    })),
  };
}

function isEnd(frame: unknown): boolean {
  const { type, data } = frame as { type: string; data: { node?: unknown } };
  return type === "executing" && data.node === null;
}

/** In the recordings' words: what they kept of a binary frame. */
function decoded(frame: Frame): unknown {
  if (typeof frame === "string") return JSON.parse(frame);
  const bytes = Buffer.from(frame);
  const [event, second] = [bytes.readUInt32BE(0), bytes.readUInt32BE(4)];
  const magic = (from: number): string => bytes.subarray(from, from + 4).toString("hex");
  const type = `bin:${event}`;
  if (event === 1) return { type, data: { event, image_type: second, magic_hex: magic(8) } };
  const [head, rest] = [bytes.subarray(8, 8 + second).toString(), bytes.subarray(8 + second)];
  if (event === 3)
    return { type, data: { event, node_id_len: second, node_id: head, text: rest.toString() } };
  return { type, data: { event, metadata: JSON.parse(head), magic_hex: magic(8 + second) } };
}

/** Undefined: nothing that the server did. */
function recordedFrame(kind: string, payload: unknown): unknown {
  if (kind === "opened") return undefined;
  if (kind === "closed") {
    const { code } = payload as { code: number | null };
    return code === null ? undefined : { type: "closed", data: code };
  }
  if (!kind.startsWith("bin:")) return payload;
  const { decoded: kept } = payload as { decoded: { event: number; [name: string]: unknown } };
  const { metadata_len: _length, image_bytes: _bytes, ...data } = kept;
  return { type: kind, data };
}

interface RecordedAnswer {
  readonly status: number;
  readonly body: unknown;
}

function readBody({ body, contentType }: Answer): unknown {
  if (typeof body !== "string") return "bytes";
  return contentType?.startsWith("application/json") ? JSON.parse(body) : body;
}

const isBytes = (body: unknown): boolean => typeof body === "object" && body !== null && "head_hex" in body;
const isRestart = (payload: unknown): boolean =>
  String((payload as { text?: unknown }).text).startsWith("restart: ");

const times = ["timestamp", "create_time", "execution_start_time", "execution_end_time"];

/** What ComfyUI makes of Python's sets, whose order is another in every process. */
const unordered = ["current_outputs", "executed", "errors"];
const sorted = (values: readonly unknown[]): unknown[] =>
  values
    .map((value) => JSON.stringify(value))
    .sort()
    .map((text) => JSON.parse(text));

/** Hides what differs between two runs of one real server, too. */
function mask(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mask);
  if (typeof value === "string") return value.replace(/ComfyUI_temp_[a-z]{5}_/, "ComfyUI_temp_?_");
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, part]) => {
      if (times.includes(name) && typeof part === "number") return [name, "a time"];
      if (name === "traceback" && Array.isArray(part))
        return [name, part.every((line) => typeof line === "string") ? "some lines" : part];
      if (unordered.includes(name) && Array.isArray(part)) return [name, sorted(part.map(mask))];
      return [name, mask(part)];
    }),
  );
}
