import { describe, expect, test } from "vitest";
import type { ServerSnapshot } from "../protocol/session-api.ts";
import { comfy, declared, type ScriptedTab, scriptedHost } from "../world/scripted-host.ts";

const stats = (version: string) => ({ system: { comfyui_version: version } });
const login = { status: 401, text: "Log in" };
const forbidden = { status: 403, text: "No" };
const unreadable = { failure: "network" } as const;
const opaque = { status: 0, text: "" };
const accepted = (promptId: string) => ({ prompt_id: promptId, number: 1, node_errors: {} });
const idle = { exec_info: { queue_remaining: 0 } };

const server = (tab: ScriptedTab): ServerSnapshot | undefined =>
  tab.events.flatMap((event) => (event.kind === "server" ? [event.server] : [])).at(-1);

function opened() {
  const host = scriptedHost();
  const anna = host.tab("anna");
  host.openSocket();
  return { host, anna };
}

const renew = (tab: ScriptedTab, renewed = comfy) =>
  tab.call({ method: "setAuth", server: renewed, account: "anna" });

describe("a prompt that is refused for its credentials", () => {
  test("waits, says why, and goes out once more when there are others", () => {
    const { host, anna } = opened();
    const { taskId, promptId } = anna.submit("portrait");
    host.reply("/prompt", login);
    expect(anna.taskEvents(taskId)).toMatchObject([
      { type: "warning", code: "waiting", message: expect.stringContaining("setAuth") },
    ]);
    expect(server(anna)).toMatchObject({ connection: "open", error: { code: "unauthorized" } });
    host.pass(29_000);
    expect(host.pending("/prompt")).toEqual([]);
    expect(renew(anna).answer).toEqual({ ok: "anna" });
    expect(server(anna)?.error).toBeUndefined();
    host.reply("/prompt", accepted(promptId));
    expect(anna.heard(taskId).at(-1)).toBe("accepted");
  });

  test("lets no other prompt go the same way", () => {
    const { host, anna } = opened();
    anna.submit("portrait");
    host.reply("/prompt", login);
    anna.submit("landscape");
    expect(host.pending("/prompt")).toEqual([]);
    renew(anna);
    expect(host.pending("/prompt")).toHaveLength(2);
  });

  test("goes to another server that would take it", () => {
    const other = declared("http://other.test");
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [comfy, other] });
    host.openSocket(comfy);
    host.openSocket(other, 3);
    anna.submit("portrait");
    host.reply("/prompt", login);
    expect(host.pending("/prompt").map(({ server }) => server)).toEqual([other.key]);
  });

  test("goes on by itself where the server thinks better of it", () => {
    const { host, anna } = opened();
    const { promptId, taskId } = anna.submit("portrait");
    host.reply("/system_stats", stats("0.33.0"));
    host.reply("/prompt", login);
    host.pass(30_000);
    host.reply("/system_stats", stats("0.33.0"));
    host.reply("/prompt", accepted(promptId));
    expect(anna.heard(taskId).at(-1)).toBe("accepted");
  });

  test("is given up when the server takes the same credentials for all else", () => {
    const { host, anna } = opened();
    const { taskId } = anna.submit("portrait");
    host.reply("/system_stats", stats("0.33.0"));
    for (let time = 1; time <= 3; time += 1) {
      host.reply("/prompt", forbidden);
      host.pass(1);
      if (time < 3) host.reply("/system_stats", stats("0.33.0"));
    }
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({
      type: "failed",
      error: { code: "unauthorized", details: { status: 403, serverId: comfy.id } },
    });
  });

  test("can be cancelled while it waits", () => {
    const { host, anna } = opened();
    const { taskId } = anna.submit("portrait");
    host.reply("/prompt", login);
    expect(anna.call({ method: "cancel", taskId }).answer).toEqual({ ok: true });
    renew(anna);
    expect(host.pending("/prompt")).toEqual([]);
  });
});

describe("credentials", () => {
  test("that expire while a task runs are asked for, and its ending is not at risk", () => {
    const { host, anna } = opened();
    const { taskId, promptId } = anna.submit("portrait");
    host.reply("/prompt", accepted(promptId));
    host.pass(6_000);
    host.reply("/queue", login);
    expect(server(anna)?.error?.code).toBe("unauthorized");
    host.say(
      { type: "execution_start", promptId },
      { type: "execution_success", promptId },
      { type: "executing", promptId, nodeId: null },
    );
    expect(anna.heard(taskId).at(-1)).toBe("succeeded");
  });

  test("that a cancellation is refused for are asked for, and it is sent once more with others", () => {
    const { host, anna } = opened();
    host.reply("/system_stats", stats("0.33.0"));
    const { taskId, promptId } = anna.submit("portrait");
    host.reply("/prompt", accepted(promptId));
    anna.call({ method: "cancel", taskId });
    host.reply(`/api/jobs/${promptId}/cancel`, login);
    expect(server(anna)?.error?.code).toBe("unauthorized");
    renew(anna);
    host.pass(2_000);
    expect(host.pending(`/api/jobs/${promptId}/cancel`)).toHaveLength(1);
  });

  test("that are refused again are asked for again", () => {
    const { host, anna } = opened();
    anna.submit("portrait");
    host.reply("/prompt", login);
    renew(anna);
    expect(server(anna)?.error).toBeUndefined();
    host.reply("/prompt", login);
    expect(server(anna)?.error?.code).toBe("unauthorized");
  });

  test("open the connection that they were missing at once", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    for (let time = 0; time < 8; time += 1) {
      host.closeSocket();
      host.pass(30_000);
    }
    host.closeSocket();
    const before = host.effects.filter((effect) => effect.do === "open-socket").length;
    renew(anna);
    expect(host.effects.filter((effect) => effect.do === "open-socket")).toHaveLength(before + 1);
  });

  test("of another account take along what has not been sent, and leave its socket to the first", () => {
    const host = scriptedHost();
    const [anna, ben] = [host.tab("anna"), host.tab("ben")];
    const own = declared(comfy.url, { key: `${comfy.url} ben` as never });
    const { taskId } = ben.submit("portrait");
    renew(ben, own);
    host.openSocket(comfy);
    expect(host.pending("/prompt")).toEqual([]);
    host.openSocket(own);
    expect(host.pending("/prompt").map(({ server }) => server)).toEqual([own.key]);
    expect(anna.taskEvents(taskId)).toEqual([]);
    expect(host.coordinator.sockets.size).toBe(2);
  });
});

test("what waits for credentials goes out at once under an account that another tab has open already", () => {
  const own = declared(comfy.url, { key: `${comfy.url} ben` as never });
  const { host, anna } = opened();
  host.tab("ben", { servers: [own] });
  host.openSocket(own);
  anna.submit("portrait");
  host.reply("/prompt", login);
  renew(anna, own);
  expect(host.pending("/prompt").map(({ server }) => server)).toEqual([own.key]);
});

test("a task under an account that its tab has left, and whose token has expired, is stalled, and can be dismissed", () => {
  const { host, anna } = opened();
  const { taskId, promptId } = anna.submit("portrait");
  host.reply("/prompt", accepted(promptId));
  renew(anna, declared(comfy.url, { key: `${comfy.url} ben` as never }));
  for (let waited = 0; waited < 185; waited += 5) {
    expect(anna.call({ method: "dismiss", taskId }).answer).toHaveProperty("error");
    host.pass(5_000);
    while (host.pending("/queue").length > 0) host.reply("/queue", login);
  }
  host.pass(5_000);
  while (host.pending("/queue").length > 0) host.reply("/queue", login);
  expect(anna.taskEvents(taskId)).toContainEqual(expect.objectContaining({ code: "stalled" }));
  expect(anna.call({ method: "dismiss", taskId }).answer).toEqual({ ok: null });
});

test("a prompt whose refusal comes after the tab has another account goes out under that", () => {
  const { host, anna } = opened();
  const own = declared(comfy.url, { key: `${comfy.url} ben` as never });
  anna.submit("portrait");
  renew(anna, own);
  host.openSocket(own);
  host.reply("/prompt", login);
  expect(host.pending("/prompt").map(({ server }) => server)).toEqual([own.key]);
});

describe("a server whose answers this page may not read", () => {
  function unread() {
    const { host, anna } = opened();
    host.reply("/system_stats", unreadable);
    return { host, anna };
  }

  test("but whose socket it may open is origin-refused, and gets no prompt until that is over", () => {
    const { host, anna } = unread();
    host.reply("/prompt", opaque);
    host.reply("/prompt", unreadable);
    expect(server(anna)?.error?.code).toBe("origin-refused");
    const { taskId } = anna.submit("portrait");
    expect(anna.taskEvents(taskId)).toMatchObject([{ type: "warning", code: "waiting" }]);
    host.pass(30_000);
    host.reply("/system_stats", stats("0.33.0"));
    expect(server(anna)?.error).toBeUndefined();
    expect(host.pending("/prompt")).toHaveLength(1);
  });

  test.each([
    ["does not answer either", [unreadable]],
    ["answers when it is asked once more", [opaque, idle]],
  ])("is not blamed when it %s: the network was down", (_, answers) => {
    const { host, anna } = unread();
    for (const answer of answers) host.reply("/prompt", answer);
    expect(server(anna)?.error).toBeUndefined();
    anna.submit("portrait");
    expect(host.pending("/prompt")).toHaveLength(1);
  });
});

test("a server that is too old is named so, and gets no prompt", () => {
  const { host, anna } = opened();
  host.reply("/system_stats", stats("0.3.41"));
  expect(server(anna)).toMatchObject({
    connection: "open",
    error: { code: "server-too-old", details: { version: "0.3.41", serverId: comfy.id } },
  });
  anna.submit("portrait");
  expect(host.pending("/prompt")).toEqual([]);
});

describe("a connection that fails", () => {
  test.each([
    [unreadable, "server-unreachable"],
    [{ failure: "timeout" }, "server-unreachable"],
    [{ failure: "network", block: "mixed-content" }, "mixed-content"],
    [{ failure: "network", block: "local-network-blocked" }, "local-network-blocked"],
  ] as const)("where nobody answers %o is %s", (answer, code) => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.closeSocket();
    host.reply("/prompt", answer);
    expect(server(anna)?.error).toMatchObject({ code, message: expect.stringContaining(comfy.url) });
    expect(host.pending("/prompt")).toEqual([]);
  });

  test("where all but the socket is well says so", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.closeSocket();
    host.reply("/prompt", opaque);
    host.reply("/prompt", idle);
    expect(server(anna)?.error).toMatchObject({
      code: "server-unreachable",
      message: expect.stringContaining("refuses the WebSocket"),
    });
  });
});
