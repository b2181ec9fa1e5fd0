import type { ServerAbilities } from "./abilities.ts";
import type { FileStore } from "./files.ts";
import type { Prompt } from "./graph.ts";
import type { History } from "./history.ts";
import type { Catalogue } from "./nodes/catalogue.ts";
import type { Random } from "./random.ts";

/** What the routes see of the server, and may do to it. */
export interface ServerState {
  readonly abilities: ServerAbilities;
  readonly version: string;
  readonly catalogue: Catalogue;
  readonly files: FileStore;
  readonly history: History;
  readonly random: Random;
  readonly now: number;
  readonly pending: readonly Prompt[];
  readonly running: Prompt | undefined;
  queueRemaining(): number;
  /** The counter that orders prompts; it advances with every question. */
  takeNumber(): number;
  /** @throws where the number and the id are those of a waiting prompt; it is queued all the same */
  enqueue(prompt: Prompt): void;
  /** @returns whether it was waiting */
  dequeue(promptId: string, reason: "deleted" | "cancelled"): boolean;
  clearQueue(): void;
  /** Stops whatever runs, at its next look. */
  interrupt(): void;
  freeMemory(): void;
  readonly logLines: readonly { readonly t: string; readonly m: string }[];
  subscribeToLogs(clientId: string, enabled: boolean): void;
}
