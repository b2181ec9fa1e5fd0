import type { JsonObject } from "../../comfy/messages.ts";
import type { FileStore } from "../files.ts";
import type { Picture } from "../pictures.ts";
import type { Deflate } from "../png.ts";
import type { Random } from "../random.ts";

/** A type of values with its widget's options, in ComfyUI's own format: `["INT", { min: 0 }]`. */
export type InputSpec = readonly [type: string | readonly string[], options?: JsonObject];

export interface NodeInputs {
  readonly required?: Readonly<Record<string, InputSpec>>;
  readonly optional?: Readonly<Record<string, InputSpec>>;
  readonly hidden?: Readonly<Record<string, string>>;
}

/** A class of nodes, as `/object_info` describes it, with what its nodes do. */
export interface NodeType {
  readonly name: string;
  readonly displayName?: string;
  readonly category: string;
  readonly module: string;
  readonly inputs: NodeInputs;
  readonly outputs: readonly string[];
  readonly outputNames?: readonly string[];
  readonly isOutput?: boolean;
  /** What is wrong with a value, beyond its type. */
  check?(
    inputs: JsonObject,
    files: FileStore,
  ): { readonly input: string; readonly wrong: string } | undefined;
  /** What the result depends on besides the inputs: a change of it invalidates the cache. */
  fingerprint?(inputs: JsonObject, files: FileStore): string;
  /** A generator yields the milliseconds that it needs; a node that needs none just returns. */
  run(inputs: JsonObject, node: NodeRun): Generator<Pause, NodeResult> | NodeResult;
}

/** Milliseconds to wait, or for as long as a test holds the prompt. */
export type Pause = number | "held";

/** What a node gives: a value per output, and what there is to show. */
export interface NodeResult {
  readonly values: readonly unknown[];
  readonly ui?: JsonObject;
}

/** What a node may do while it runs. */
export interface NodeRun {
  readonly nodeId: string;
  readonly now: number;
  readonly files: FileStore;
  readonly random: Random;
  readonly deflate: Deflate | undefined;
  /** Whether samplers show previews. */
  readonly samplerPreviews: boolean;
  /** The texts that ComfyUI writes into its pictures. */
  readonly pictureTexts: () => Record<string, string>;
  /** A progress bar, which like ComfyUI's drops updates that come too fast. */
  progressBar(max: number): (value: number, preview?: Preview) => Generator<Pause, void>;
  sendText(text: string, to: "everybody" | "client"): void;
  sendEvent(type: string, data: JsonObject, to: "everybody" | "client"): void;
}

export interface Preview {
  readonly format: "jpeg" | "png";
  readonly picture: Picture;
}

/** An exception in a node, by Python's name. */
export class NodeException extends Error {
  readonly exceptionType: string;
  constructor(exceptionType: string, message: string) {
    super(message);
    this.exceptionType = exceptionType;
  }
}

/** Somebody has asked that the run end. */
export class Interrupted extends Error {}

/** A value that keeps the nodes behind it from running; with a message the first of them says so. */
export class ExecutionBlocker {
  readonly message: string | undefined;
  constructor(message: string | undefined) {
    this.message = message;
  }
}
