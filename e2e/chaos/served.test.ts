import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type Served, watchServed } from "./served.ts";

let comfy: Server;
afterEach(() => comfy.close());

const runAt = (timestamp: number, ending: string) => ({
  status: {
    messages: [
      ["execution_start", { timestamp }],
      [ending, { timestamp: timestamp + 5 }],
    ],
  },
});

/** A real server's history, as far as it goes. */
async function historyIs(history: Record<string, object>): Promise<{ served: Served; asked: string[] }> {
  const asked: string[] = [];
  comfy = createServer(({ url = "" }, answer) => {
    asked.push(url);
    const promptId = url.split("/")[2];
    answer.end(JSON.stringify(promptId === undefined ? history : { [promptId]: history[promptId] }));
  });
  await new Promise<void>((listening) => comfy.listen(0, "127.0.0.1", listening));
  const { port } = comfy.address() as AddressInfo;
  return { served: watchServed({ url: `http://127.0.0.1:${port}`, simulator: undefined }), asked };
}

test("a run that its prompt's second one has put out of a real server's history is known all the same", async () => {
  const history: Record<string, object> = { twice: runAt(10, "execution_success") };
  const { served, asked } = await historyIs(history);
  served.delivered("twice");
  served.delivered("twice");
  await expect.poll(() => asked.length).toBeGreaterThan(0);
  history.twice = runAt(20, "execution_interrupted");
  expect(await served.end(new Set(["deleted"]))).toEqual([
    { promptId: "twice", startedAt: 10, endedAt: 15, ending: "success" },
    { promptId: "twice", startedAt: 20, endedAt: 25, ending: "interrupted" },
    { promptId: "deleted", removed: "deleted" },
  ]);
});

test("what was brought once is read at the end", async () => {
  const { served, asked } = await historyIs({ once: runAt(10, "execution_error") });
  served.delivered("once");
  expect(await served.end(new Set())).toEqual([
    { promptId: "once", startedAt: 10, endedAt: 15, ending: "error" },
  ]);
  expect(asked).toEqual(["/history"]);
});

test("a server that does not answer is no server without runs", async () => {
  const { served } = await historyIs({});
  comfy.close();
  await expect(served.end(new Set())).rejects.toThrow();
});
