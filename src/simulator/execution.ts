import type { JsonObject } from "../comfy/messages.ts";
import type { ServerAbilities } from "./abilities.ts";
import type { Cache } from "./cache.ts";
import { createExecutionOrder } from "./execution-order.ts";
import type { FileStore } from "./files.ts";
import { classOf, isLink, type Prompt } from "./graph.ts";
import { encodeJpeg } from "./jpeg.ts";
import type { Ending } from "./ledger.ts";
import type { Catalogue } from "./nodes/catalogue.ts";
import {
  ExecutionBlocker,
  Interrupted,
  NodeException,
  type NodeResult,
  type NodeRun,
  type NodeType,
  type Pause,
  type Preview,
} from "./nodes/node-type.ts";
import { type Deflate, encodePng } from "./png.ts";
import type { Random } from "./random.ts";
import * as wire from "./wire.ts";

/** What a run sees of the server. */
export interface ExecutionHost {
  readonly abilities: ServerAbilities;
  readonly catalogue: Catalogue;
  readonly files: FileStore;
  readonly cache: Cache;
  readonly random: Random;
  readonly deflate: Deflate | undefined;
  readonly samplerPreviews: boolean;
  now(): number;
  /** @param to a client id; undefined: everybody. @returns whether a test holds the prompt after this message */
  send(message: wire.Outgoing, to: unknown): boolean;
  wantsMetadata(clientId: unknown): boolean;
  /** Reads and resets the flag that `/interrupt` sets. */
  takeInterrupt(): boolean;
  runningNode(nodeId: string | undefined): void;
}

export interface Outcome {
  readonly ending: Ending;
  readonly outputs: ReadonlyMap<string, JsonObject>;
  readonly messages: readonly wire.Recorded[];
}

/**
 * Runs one prompt and yields the time it takes. The order of its frames is ComfyUI's (execution.py,
 * progress.py, main.py). @throws {@link FatalGraph} where ComfyUI's worker thread would die
 */
export function* execute(prompt: Prompt, host: ExecutionHost): Generator<Pause, Outcome> {
  const { promptId, graph, clientId } = prompt;
  const { cache, catalogue } = host;
  const isOwned = clientId !== undefined;
  const messages: wire.Recorded[] = [];
  const outputs = new Map<string, JsonObject>();
  const executed: string[] = [];
  const states = new Map<string, wire.NodeState & { readonly json: string }>();
  const results = new Map<string, NodeResult>();
  let elapsed = 0;

  function* send(message: wire.Outgoing): Generator<Pause, void> {
    if (host.send(message, clientId)) yield "held";
  }
  /** Messages for the owner only: without one nobody gets them, except where ComfyUI broadcasts. */
  function* record(message: wire.Recorded, broadcast = false): Generator<Pause, void> {
    messages.push(message);
    if (isOwned || broadcast) yield* send(message);
  }
  function* tell(message: wire.Outgoing): Generator<Pause, void> {
    if (isOwned) yield* send(message);
  }
  function* setState(nodeId: string, state: wire.NodeState): Generator<Pause, void> {
    if (!host.abilities.chosenPromptId) return;
    states.set(nodeId, { ...state, json: wire.nodeState(promptId, nodeId, state) });
    yield* send(
      wire.progressState(
        promptId,
        Array.from(states.values(), ({ json }) => json),
      ),
    );
  }
  function* finish(nodeId: string): Generator<Pause, void> {
    const max = states.get(nodeId)?.max ?? 1;
    yield* setState(nodeId, { value: max, max, state: "finished" });
  }
  const throwIfInterrupted = (): void => {
    if (host.takeInterrupt()) throw new Interrupted();
  };

  function* report(nodeId: string, value: number, max: number, preview?: Preview): Generator<Pause, void> {
    throwIfInterrupted();
    yield* setState(nodeId, { value, max, state: "running" });
    const image = preview && encodedImage(preview, host.deflate);
    const metadata = image !== undefined && host.wantsMetadata(clientId);
    if (image && metadata) yield* send(wire.preview(promptId, nodeId, image));
    yield* send(wire.progress(promptId, nodeId, value, max));
    if (image && !metadata) yield* send(wire.legacyPreview(promptId, image));
  }

  function progressBar(nodeId: string, max: number): ReturnType<NodeRun["progressBar"]> {
    let [sentAt, sent] = [Number.NEGATIVE_INFINITY, -1];
    return function* update(value, preview) {
      const isEdge = sent < 0 || value >= max || preview !== undefined;
      const isSoon = elapsed - sentAt < 100 || ((value - sent) / max) * 100 < 0.5;
      if (host.abilities.throttledProgress && !isEdge && isSoon) return;
      [sentAt, sent] = [elapsed, value];
      yield* report(nodeId, value, max, preview);
    };
  }

  const nodeRun = (nodeId: string): NodeRun => ({
    nodeId,
    now: host.now(),
    files: host.files,
    random: host.random,
    deflate: host.deflate,
    samplerPreviews: host.samplerPreviews && prompt.extraData.preview_method !== "none",
    pictureTexts: () => pictureTexts(prompt),
    progressBar: (max) => progressBar(nodeId, max),
    sendText: (words, to) => host.send(wire.text(nodeId, words), to === "client" ? clientId : undefined),
    sendEvent: (type, data, to) => host.send(wire.custom(type, data), to === "client" ? clientId : undefined),
  });

  function* runNode(nodeId: string, type: NodeType, inputs: JsonObject): Generator<Pause, NodeResult> {
    const run = type.run(inputs, nodeRun(nodeId));
    if (!("next" in run)) return run;
    for (let step = run.next(); ; step = run.next()) {
      if (step.done) return step.value;
      if (typeof step.value === "number") elapsed += step.value;
      yield step.value;
    }
  }

  host.takeInterrupt();
  yield* record(wire.executionStart(promptId, host.now()));
  const keys = cache.begin(graph, catalogue, host.files);
  const isCached = (nodeId: string): boolean => cache.get(keys.get(nodeId) ?? "") !== undefined;
  const typeOf = (nodeId: string): NodeType => catalogue.get(classOf(graph[nodeId]!))!;
  for (const nodeId of Object.keys(graph)) {
    const result = cache.get(keys.get(nodeId)!);
    if (result !== undefined) results.set(nodeId, result);
  }
  yield* record(wire.executionCached(promptId, [...results.keys()], host.now()));

  const order = createExecutionOrder(graph, prompt.outputs, isCached, (id) => typeOf(id).isOutput === true);
  for (let nodeId = order.next(); nodeId !== undefined; nodeId = order.next()) {
    const type = typeOf(nodeId);
    const place = { promptId, nodeId, nodeType: type.name, executed: [...executed] };
    const cached = results.get(nodeId);
    if (cached !== undefined) {
      yield* tell(wire.executed(promptId, nodeId, cached.ui ?? null));
      if (cached.ui !== undefined) outputs.set(nodeId, cached.ui);
      yield* finish(nodeId);
      executed.push(nodeId);
      order.done(nodeId);
      continue;
    }
    const inputs = resolve(graph[nodeId]!.inputs, type, results);
    try {
      yield* setState(nodeId, { value: 0, max: 1, state: "running" });
      if (isOwned) host.runningNode(nodeId);
      yield* tell(wire.executing(promptId, nodeId));
      const blocker = Object.values(inputs).find((value) => value instanceof ExecutionBlocker);
      let result: NodeResult;
      if (blocker !== undefined) {
        if (blocker.message !== undefined) yield* send(wire.executionBlocked(place, blocker.message));
        result = { values: type.outputs.map(() => new ExecutionBlocker(undefined)) };
      } else {
        throwIfInterrupted();
        result = yield* runNode(nodeId, type, inputs);
      }
      if (result.ui !== undefined) {
        outputs.set(nodeId, result.ui);
        yield* tell(wire.executed(promptId, nodeId, result.ui));
      }
      results.set(nodeId, result);
      cache.set(keys.get(nodeId)!, result);
      yield* finish(nodeId);
      executed.push(nodeId);
      order.done(nodeId);
    } catch (error) {
      if (error instanceof Interrupted) {
        yield* record(wire.executionInterrupted(place, host.now()), true);
        return { ending: "interrupted", outputs, messages };
      }
      const exception = describeException(error, type, host.abilities);
      const current = Object.fromEntries(
        Object.entries(inputs).map(([name, value]) => [name, [shown(value)]]),
      );
      yield* record(wire.executionError(place, exception, current, Object.keys(graph), host.now()));
      return { ending: "error", outputs, messages };
    }
  }
  yield* record(wire.executionSuccess(promptId, host.now()));
  return { ending: "success", outputs, messages };
}

function resolve(
  given: Record<string, unknown>,
  type: NodeType,
  results: ReadonlyMap<string, NodeResult>,
): JsonObject {
  const declared = { ...type.inputs.required, ...type.inputs.optional };
  return Object.fromEntries(
    Object.entries(given)
      .filter(([name]) => Object.hasOwn(declared, name))
      .map(([name, value]) => [name, isLink(value) ? results.get(value[0])?.values[value[1]] : value]),
  );
}

function describeException(error: unknown, type: NodeType, abilities: ServerAbilities) {
  const exceptionType = error instanceof NodeException ? error.exceptionType : "RuntimeError";
  const message = error instanceof Error ? error.message : String(error);
  return {
    type: exceptionType,
    message: abilities.errorTips ? `${message}\n` : message,
    traceback: [
      '  File "execution.py", line 545, in execute\n    output_data, output_ui = await get_output_data(…)\n',
      '  File "execution.py", line 344, in get_output_data\n    return_values = await _async_map_node_over_list(…)\n',
      '  File "execution.py", line 318, in _async_map_node_over_list\n    await process_inputs(input_dict, i)\n',
      '  File "execution.py", line 306, in process_inputs\n    result = f(**inputs)\n',
      `  File "${type.module}", in run\n    raise ${exceptionType}(…)\n`,
    ],
  };
}

/** Tensors and models as ComfyUI's `format_value` writes them; plain values as they are. */
function shown(value: unknown): unknown {
  if (value === null || ["string", "number", "boolean"].includes(typeof value)) return value;
  return "<object>";
}

function encodedImage({ format, picture }: Preview, deflate: Deflate | undefined): wire.EncodedImage {
  let bytes: Uint8Array | undefined;
  return {
    format,
    bytes: () => {
      bytes ??= format === "jpeg" ? encodeJpeg(picture, 95) : encodePng(picture, {}, deflate);
      return bytes;
    },
  };
}

function pictureTexts({ graph, extraData }: Prompt): Record<string, string> {
  const info = extraData.extra_pnginfo;
  const extra = typeof info === "object" && info !== null ? Object.entries(info) : [];
  return Object.fromEntries(
    [["prompt", graph] as const, ...extra].map(([name, value]) => [name, JSON.stringify(value)]),
  );
}
