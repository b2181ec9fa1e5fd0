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

export function createObjectInfo(fetch: FetchLike): ObjectInfo {
  const readings = new Map<string, Promise<HttpAnswer>>();

  function read(key: string, { url, credentials }: TransferServer): Promise<HttpAnswer> {
    const reading = askServer(fetch, { url: `${url}/object_info`, method: "GET", timeoutMs }, credentials);
    readings.set(key, reading);
    void reading.then((answer) => {
      // Only what is there is kept, and a reading that was forgotten meanwhile does not take its successor along.
      if (!isObjectInfo(answer) && readings.get(key) === reading) readings.delete(key);
    });
    return reading;
  }

  return {
    // What is shared is the server's answer, not our words for it: those name the server as one tab does.
    async get(key, server) {
      const answer = await (readings.get(key) ?? read(key, server));
      if (isObjectInfo(answer)) return { ok: answer.text };
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

const isObjectInfo = (answer: HttpAnswer): answer is { status: 200; text: string } =>
  "text" in answer && answer.status === 200 && answer.text.startsWith("{");
