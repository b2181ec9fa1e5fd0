import { setTimeout as wait } from "node:timers/promises";
import type { ServerUnderTest } from "../fixtures.ts";
import type { ServedPrompt } from "./ledger.ts";

const endings = {
  execution_success: "success",
  execution_error: "error",
  execution_interrupted: "interrupted",
} as const;

type Message = readonly [type: string, data: { readonly timestamp?: number }];

interface HistoryItem {
  readonly status?: { readonly messages?: readonly Message[] };
}

/** No run of a chaos workflow is as short, but for a cached one, which tells what the run before it has told. */
const lookEveryMs = 100;

/** What a server says of the prompts that it was brought. */
export interface Served {
  /** The network has brought this prompt. */
  delivered(promptId: string): void;
  /**
   * All of it; nothing is looked at any more after that.
   *
   * @param deleted what was taken out of the queue, of which a real server keeps no trace
   */
  end(deleted: ReadonlySet<string>): Promise<readonly ServedPrompt[]>;
}

/**
 * The simulator has a log. A real server's history has one run for each prompt id, the last (protocol.md §6): what
 * was brought more than once is looked at while it runs, or a run would be taken for the other.
 */
export function watchServed({ url, simulator }: Pick<ServerUnderTest, "url" | "simulator">): Served {
  if (simulator) return { delivered() {}, end: async () => simulator.log.prompts };
  const runs = new Map<string, ServedPrompt>();
  const brought = new Set<string>();
  const again = new Set<string>();
  let isOver = false;

  async function look(path: string): Promise<void> {
    const history = (await (await fetch(`${url}${path}`)).json()) as Record<string, HistoryItem>;
    for (const [promptId, { status }] of Object.entries(history)) {
      const messages = status?.messages ?? [];
      const [startedAt = 0, endedAt] = [messages[0], messages.at(-1)].map((one) => one?.[1].timestamp);
      const ending = Object.entries(endings).find(([type]) => messages.some(([told]) => told === type))?.[1];
      runs.set(`${promptId} ${startedAt}`, { promptId, startedAt, endedAt, ending });
    }
  }

  async function watch(): Promise<void> {
    while (!isOver) {
      for (const promptId of again) await look(`/history/${promptId}`);
      await wait(lookEveryMs, undefined, { ref: false });
    }
  }

  const watching = watch();
  watching.catch(() => {}); // whoever asks for the end is told
  return {
    delivered(promptId) {
      if (brought.has(promptId)) again.add(promptId);
      brought.add(promptId);
    },
    async end(deleted) {
      isOver = true;
      await watching;
      await look("/history");
      return [...runs.values(), ...[...deleted].map((promptId) => ({ promptId, removed: "deleted" }))];
    },
  };
}
