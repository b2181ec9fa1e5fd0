import type { JsonObject } from "../comfy/messages.ts";

/** A workflow as ComfyUI got it: nothing in it is certain. */
export type Graph = Readonly<Record<string, GraphNode>>;

export interface GraphNode {
  readonly class_type?: unknown;
  readonly inputs: Record<string, unknown>;
  readonly _meta?: { readonly title?: unknown };
}

/**
 * A graph that passes validation and makes Python raise where ComfyUI does not catch (execution.py,
 * comfy_execution): its worker thread is gone.
 */
export class FatalGraph extends Error {}

export const classOf = (node: GraphNode): string => String(node.class_type);

/** A prompt that has been accepted. */
export interface Prompt {
  readonly number: number;
  readonly promptId: string;
  /** The id that the client chose: before 0.3.45 the server takes another one. */
  readonly askedId: string | undefined;
  readonly graph: Graph;
  readonly extraData: JsonObject;
  readonly outputs: readonly string[];
  /** As it was sent: only a string can be anybody's. Undefined: none, then much is sent to everybody. */
  readonly clientId: unknown;
  readonly createdAt: number;
}

export type Link = readonly [nodeId: string, slot: number];

export const isLink = (value: unknown): value is Link =>
  Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && typeof value[1] === "number";
