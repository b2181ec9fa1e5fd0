import { expect, test } from "vitest";
import { startSimulator } from "../../simulator/http-server.ts";
import { reachability } from "./reachability.ts";

test.each([
  ["*", "answers"],
  ["http://127.0.0.1:5173", "answers"],
  ["http://other.example", "answers, but lets no page in"],
  ["off", "answers, but lets no page in"],
])("a server with CORS %j %s", async (cors, said) => {
  const simulator = await startSimulator({ cors });
  const sentence = await reachability(simulator.url, "http://127.0.0.1:5173");
  await simulator.close();
  expect(sentence.replace(/:.*/, "")).toBe(said);
});
