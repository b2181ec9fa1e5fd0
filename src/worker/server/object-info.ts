import { plainJson } from "../../comfy/json.ts";
import type { HttpAnswer } from "../../core/facts.ts";
import type { Answer } from "../../protocol/session-api.ts";
import { askServer, type FetchLike } from "./http.ts";
import { refusal, type TransferServer, whyItFailed } from "./refusal.ts";

/** `/object_info` of every server, once for all tabs: it has megabytes, and takes a busy server long. */
export interface ObjectInfo {
  get(key: string, server: TransferServer): Promise<Answer<string>>;
  /** The server may have other nodes now. */
  forget(key: string): void;
}

const timeoutMs = 120_000;

/** What a tab can parse, or the answer that is none. */
type Reading = { readonly ok: string } | HttpAnswer;

export function createObjectInfo(fetch: FetchLike): ObjectInfo {
  const readings = new Map<string, Promise<Reading>>();

  function read(key: string, { url, credentials }: TransferServer): Promise<Reading> {
    const request = { url: `${url}/object_info`, method: "GET", timeoutMs } as const;
    const reading: Promise<Reading> = askServer(fetch, request, credentials).then((answer) => {
      if ("text" in answer && answer.status === 200 && answer.text.startsWith("{"))
        return { ok: plainJson(answer.text) };
      // Only what is there is kept, and a reading that was forgotten meanwhile does not take its successor along.
      if (readings.get(key) === reading) readings.delete(key);
      return answer;
    });
    readings.set(key, reading);
    return reading;
  }

  return {
    // What is shared is the server's answer, not our words for it: those name the server as one tab does.
    async get(key, server) {
      const answer = await (readings.get(key) ?? read(key, server));
      if ("ok" in answer) return answer;
      return {
        error:
          "failure" in answer
            ? await whyItFailed(fetch, server)
            : refusal(server, answer.status, answer.text),
      };
    },
    forget(key) {
      readings.delete(key);
    },
  };
}
