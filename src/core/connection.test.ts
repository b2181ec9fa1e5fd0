import { describe, expect, test } from "vitest";
import { comfy, declared, scriptedHost } from "../world/scripted-host.ts";
import { reconnectDelay } from "./connection.ts";

const opened = (host: ReturnType<typeof scriptedHost>) =>
  host.effects.flatMap((effect) => (effect.do === "open-socket" ? [effect] : []));

describe("a page that is loaded anew", () => {
  test("keeps the sockets of the old one, though the journal is asked before it is welcome", () => {
    const host = scriptedHost();
    const old = host.tab("anna");
    host.openSocket();
    host.holdJournal();
    host.tab("anna");
    host.take({ type: "tab-gone", port: old.port });
    host.releaseJournal();
    expect(host.coordinator.servers.get(comfy.key)?.connection.at).toBe("open");
  });
});

describe("a connection", () => {
  test("is one socket, however many tabs name the server", () => {
    const host = scriptedHost();
    for (const name of ["anna", "ben", "carla", "dan"]) host.tab(name);
    host.openSocket();
    host.tab("emma");
    expect(opened(host)).toHaveLength(1);
  });

  test("is told to a tab that names the server later, though nothing happens to it", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna"), host.tab("ben", { servers: [] })];
    host.openSocket();
    const before = anna.events.length;
    ben.call({ method: "addServers", servers: [comfy] });
    expect(ben.events).toMatchObject([{ kind: "server", server: { id: comfy.id, connection: "open" } }]);
    expect(anna.events).toHaveLength(before);
  });

  test("asks for previews with metadata in the first frame of every socket", () => {
    const host = scriptedHost();
    host.tab("anna");
    host.openSocket();
    host.closeSocket();
    host.pass(1000);
    host.openSocket();
    const frames = host.effects.flatMap((effect) => (effect.do === "send-text" ? [effect.text] : []));
    expect(frames).toEqual(
      Array(2).fill('{"type":"feature_flags","data":{"supports_preview_metadata":true}}'),
    );
  });

  test("is open when the server has spoken, not before", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.take({ type: "socket-opened", socket: opened(host)[0]?.socket ?? 0 });
    anna.submit("portrait");
    expect(host.pending("/prompt")).toEqual([]);
    host.openSocket();
    expect(host.pending("/prompt")).toHaveLength(1);
  });

  test("that is lost comes back, also the second and the tenth time", () => {
    const host = scriptedHost();
    host.tab("anna");
    for (let time = 1; time <= 10; time += 1) {
      host.openSocket();
      host.closeSocket();
      for (let second = 0; second < 30 && opened(host).length === time; second += 1) host.pass(1000);
      expect(opened(host)).toHaveLength(time + 1);
    }
  });

  test("gives up a socket on which the server says nothing, and never has two under one client id", () => {
    const host = scriptedHost();
    host.tab("anna");
    host.pass(15_000);
    expect(host.effects.filter((effect) => effect.do === "close-socket")).toHaveLength(1);
    host.pass(1_000);
    const [first, second] = opened(host);
    expect(second?.clientId).not.toBe(first?.clientId);
  });

  test("keeps its client id while tasks are open, so as to hear the rest of them, and else takes a new one", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    host.closeSocket();
    host.pass(1000);
    const [first, second] = opened(host);
    expect(second?.clientId).toBe(first?.clientId);
  });

  test("is let go when the last tab has gone and no task is open, and not before", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
    host.take({ type: "tab-gone", port: anna.port });
    expect(host.coordinator.sockets.size).toBe(1);
    host.say(
      { type: "execution_start", promptId },
      { type: "execution_success", promptId },
      { type: "executing", promptId, nodeId: null },
    );
    expect(host.coordinator.sockets.size).toBe(0);
  });

  test("tells every tab that names the server how it stands, and no other tab", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    const ben = host.tab("ben", { servers: [declared("http://other.test")] });
    host.openSocket(comfy, 3);
    const told = anna.events.flatMap((event) => (event.kind === "server" ? [event.server] : []));
    expect(told.at(-1)).toMatchObject({ connection: "open", queueRemaining: 3 });
    expect(ben.events.filter((event) => event.kind === "server" && event.server.url === comfy.url)).toEqual(
      [],
    );
  });

  test.each([
    [{ failure: "network" }, "cross-origin-blocked"],
    [{ status: 401, text: "" }, "unauthorized"],
    [{ status: 200, text: "<html>" }, "not-comfyui"],
  ] as const)("that fails is diagnosed by HTTP: %o is %s", (answer, code) => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.closeSocket();
    host.reply("/prompt", { status: 0, text: "" });
    host.reply("/prompt", answer);
    const told = anna.events.flatMap((event) => (event.kind === "server" ? [event.server] : []));
    expect(told.at(-1)).toMatchObject({
      connection: "waiting",
      error: { code, details: { serverId: comfy.id } },
    });
  });

  test("reconnects at once when the network is back", () => {
    const host = scriptedHost();
    host.tab("anna");
    for (let time = 0; time < 6; time += 1) {
      host.closeSocket();
      host.take({ type: "went-online" });
    }
    expect(opened(host)).toHaveLength(7);
  });
});

describe("the delay before a reconnect", () => {
  test("starts at once, doubles, and never exceeds 30 s", () => {
    expect(reconnectDelay(0, 0.99)).toBeLessThan(100);
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 50].map((attempt) => reconnectDelay(attempt, 1));
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    expect(reconnectDelay(7, 0)).toBe(15_000);
  });
});
