import type { ServerUnderTest } from "../fixtures.ts";
import type { ServedPrompt } from "./ledger.ts";

const endings = {
  execution_success: "success",
  execution_error: "error",
  execution_interrupted: "interrupted",
} as const;

interface HistoryItem {
  readonly status?: { readonly messages?: readonly (readonly [string, unknown])[] };
}

/**
 * What the server says of every prompt: the simulator by its log, a real one by its history.
 *
 * @param deleted what was taken out of its queue, of which a real server keeps no trace
 */
export async function servedBy(
  { url, simulator }: ServerUnderTest,
  deleted: ReadonlySet<string>,
): Promise<readonly ServedPrompt[]> {
  if (simulator) return simulator.log.prompts;
  const history = (await (await fetch(`${url}/history`)).json()) as Record<string, HistoryItem>;
  const ran = Object.entries(history).map(([promptId, { status }]) => {
    const told = status?.messages?.map(([type]) => type) ?? [];
    const ending = Object.entries(endings).find(([type]) => told.includes(type))?.[1];
    return { promptId, startedAt: 0, ending };
  });
  return [...ran, ...[...deleted].map((promptId) => ({ promptId, removed: "deleted" }))];
}
