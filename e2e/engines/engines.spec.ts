import type { HostMode } from "../../src/protocol/session-api.ts";
import { insecureHost } from "./engine.ts";
import { test } from "./fixtures.ts";
import { type Place, scenarios } from "./scenarios.ts";
import { takeSeat } from "./seat.ts";

const modes: readonly HostMode[] = ["shared", "solo"];
const hosts: Record<Place, string> = { secure: "127.0.0.1", insecure: insecureHost };

for (const place of Object.keys(hosts) as Place[])
  for (const mode of modes)
    test.describe(`${place}: a tab in ${mode} mode`, () => {
      for (const { name, run, needs, short, lasts, holdsIn } of scenarios) {
        if (holdsIn && !holdsIn(mode, place)) continue;
        const tag = short?.[0] === mode && short[1] === place ? ["@short"] : [];
        test(name, { tag }, async ({ engineName, profile, comfy, port }) => {
          if (lasts) test.setTimeout(lasts);
          // Only Chromium's driver can crash a tab; the README's support table says so.
          test.skip(needs === "crash" && engineName !== "chromium", "this engine's tabs cannot be crashed");
          const url = `http://${hosts[place]}:${port}/e2e/pages/engine.html`;
          await run({
            engineName,
            mode,
            place,
            comfy,
            async open({ copyOf, ...options } = {}) {
              return takeSeat(
                profile,
                url,
                { servers: [comfy.url], mode, ...options },
                await copyOf?.storage(),
              );
            },
          });
        });
      }
    });
