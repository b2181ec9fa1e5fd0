import type { EventEnvelope, HostEvent, SessionMethod } from "../../protocol/session-api.ts";
import { protocolVersion } from "../../protocol/version.ts";
import type { Realm } from "./browser.ts";

type Script = { readonly [Method in SessionMethod]?: (...args: string[]) => unknown };

/** A host of which the test says every word, below the real one's rules. Answers are given as `Answer`s. */
export function scriptedRealm(script: Script = {}, epoch = "scripted") {
  const ports: MessagePort[] = [];
  const calls: { method: SessionMethod; args: string[] }[] = [];
  const envelopes: { comfyTabs: string; batch?: number }[] = [];
  let batch = 0;
  const answers: Script = {
    hello: () => ({ ok: greeting(epoch) }),
    diagnostics: () => ({ ok: {} }),
    ...script,
  };

  const realm: Realm = {
    epoch,
    connect(port) {
      ports.push(port);
      port.onmessage = ({ data }) => {
        if (data.comfyTabs) {
          envelopes.push(data);
          return;
        }
        const method: SessionMethod = data.path[0];
        const args = data.argumentList.map(({ value }: { value: string }) => value);
        calls.push({ method, args });
        const reply = (value: unknown): void => port.postMessage({ id: data.id, type: "RAW", value });
        const answer = answers[method]?.(...args);
        if (answer instanceof Promise) void answer.then(reply);
        else if (answer) reply(answer);
      };
    },
    die() {
      for (const port of ports) port.close();
    },
  };
  return {
    realm,
    calls,
    envelopes,
    hellos: () =>
      calls.filter(({ method }) => method === "hello").map(({ args }) => JSON.parse(args[0] ?? "")),
    say(events: readonly HostEvent[], from = epoch) {
      batch += 1;
      const envelope: EventEnvelope = { comfyTabs: "events", epoch: from, batch, events };
      for (const port of ports) port.postMessage(envelope);
    },
  };
}

export const greeting = (epoch: string) => ({
  protocol: protocolVersion,
  build: "test",
  epoch,
  mode: "shared",
  servers: [{ id: "http://comfy.test", url: "http://comfy.test", connection: "open" }],
  tasks: [],
});
