import { describe, expect, test } from "vitest";
import { journalModel } from "../world/journal-model.ts";
import {
  comfy,
  declared,
  historyOf,
  nobodyKnows,
  promptIdOf,
  queueOf,
  runOf,
  type ScriptedHost,
  scriptedHost,
} from "../world/scripted-host.ts";

const login = { status: 401, text: "Log in" };
const stats = { system: { comfyui_version: "0.33.0" } };
const under = (account: string, more: object = {}) =>
  declared(comfy.url, { id: "s", key: `${comfy.url} ${account}` as never, ...more });
const accepted = (promptId: string) => ({ prompt_id: promptId, number: 1, node_errors: {} });
const posts = (host: ScriptedHost) => host.pending("/prompt").filter(({ method }) => method === "POST");
const successor = (journal = journalModel(), more: object = {}): ScriptedHost => {
  const host = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb", ...more });
  host.now = 5_000;
  return host;
};
const gone = (host: ScriptedHost, port: number) => host.take({ type: "tab-gone", port });
describe("accounts at one address", () => {
  test("a task that three servers refuse once each waits for credentials", () => {
    const [a, b, d] = ["http://a.test", "http://b.test", "http://d.test"].map((url) => declared(url));
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [a!, b!, d!] });
    for (const one of [a, b, d]) host.openSocket(one);
    const { taskId } = anna.submit("portrait");
    for (let time = 0; time < 3; time += 1) host.reply("/prompt", login);
    expect(anna.heard(taskId)).not.toContain("failed");
    anna.call({ method: "setAuth", server: b!, account: "anna" });
    expect(posts(host).map(({ server }) => server)).toEqual([b!.key]);
  });

  describe("a tab whose next page has another account while its former one is in the back/forward cache", () => {
    function twoPages() {
      const host = scriptedHost();
      const [a, b] = [under("alice"), under("bob")];
      const first = host.tab("anna", { servers: [a] });
      host.openSocket(a);
      const { taskId, promptId } = first.submit("portrait");
      host.reply("/prompt", login);
      host.take({ type: "tab-suspended", port: first.port });
      const second = host.tab("anna", { servers: [b] });
      return { host, a, b, first, second, taskId, promptId };
    }
    test("sends what waits under it", () => {
      const { host, b } = twoPages();
      host.openSocket(b);
      host.pass(2_000);
      expect(posts(host).map(({ server }) => server)).toEqual([b.key]);
    });
    test("sends what waits at the latest with setAuth", () => {
      const { host, b, second } = twoPages();
      host.openSocket(b);
      second.call({ method: "setAuth", server: b, account: "bob" });
      host.pass(2_000);
      expect(posts(host).map(({ server }) => server)).toEqual([b.key]);
    });
    test("lets go of the former account's socket", () => {
      const { host, b, first, taskId, second } = twoPages();
      host.openSocket(b);
      second.call({ method: "cancel", taskId });
      gone(host, first.port);
      expect([...host.coordinator.sockets.values()]).toEqual([b.key]);
    });
  });

  test("a plain reload with another account lets go of the former one's socket when what waited has gone out", () => {
    const host = scriptedHost();
    const [a, b] = [under("alice"), under("bob")];
    const first = host.tab("anna", { servers: [a] });
    host.openSocket(a);
    first.submit("portrait");
    host.reply("/prompt", login);
    gone(host, first.port);
    host.tab("anna", { servers: [b] });
    host.openSocket(b);
    host.pass(2_000);
    expect(posts(host).map(({ server }) => server)).toEqual([b.key]);
    expect([...host.coordinator.sockets.values()]).toEqual([b.key]);
  });

  describe("a task under a token without a name whose host died", () => {
    const [old, fresh] = [under("#bearerold"), under("#bearernew")];
    function dead(cancelAfterMs?: number) {
      const journal = journalModel();
      const host = scriptedHost({ journal, journalKind: "indexeddb" });
      const anna = host.tab("anna", { servers: [old] });
      host.openSocket(old);
      const { promptId, taskId } = anna.submit("portrait", cancelAfterMs ? { cancelAfterMs } : {});
      host.reply("/prompt", accepted(promptId));
      return { journal, promptId, taskId, host, anna };
    }
    const asked = (host: ScriptedHost) => new Set(host.pending("/queue").map(({ server }) => server));

    test("is followed with the new one where that is named at once", () => {
      const { journal } = dead();
      const next = successor(journal);
      next.tab("anna", { servers: [fresh] });
      next.openSocket(fresh);
      next.pass(3_000);
      expect([...asked(next)]).toEqual([fresh.key]);
    });
    test("is followed with the new one where that is named later", () => {
      const { journal } = dead();
      const next = successor(journal);
      const anna = next.tab("anna", { servers: [] });
      anna.call({ method: "addServers", servers: [fresh] });
      next.openSocket(fresh);
      next.pass(3_000);
      expect([...asked(next)]).toContain(fresh.key);
    });
    test("is followed with the new one where it was taken up as overdue before", () => {
      const { journal, host, anna } = dead(30_000);
      gone(host, anna.port);
      const next = successor(journal, { tabsElsewhere: new Set(["tab-anna"]) });
      next.now = 45_000;
      next.take({ type: "host-started" });
      next.tab("anna", { servers: [fresh] });
      next.openSocket(fresh);
      next.pass(3_000);
      expect([...asked(next)]).toContain(fresh.key);
    });
  });

  test("a server that nobody names is forgotten with the last of its settled tasks", () => {
    const host = scriptedHost();
    const a = under("#one");
    host.take({ type: "host-started" });
    const anna = host.tab("anna", { servers: [a] });
    host.openSocket(a);
    const { promptId, taskId } = anna.submit("portrait");
    host.reply("/prompt", accepted(promptId));
    host.pass(100);
    const [socket = 0] = host.coordinator.sockets.keys();
    for (const message of runOf(promptId)) host.take({ type: "message-received", socket, message, bytes: 1 });
    expect(anna.heard(taskId).at(-1)).toBe("succeeded");
    gone(host, anna.port);
    host.pass(26 * 60 * 60_000);
    expect(host.coordinator.tasks.size).toBe(0);
    expect(host.coordinator.servers.size).toBe(0);
  });

  test("a server that was let go of is not asked again and again whether it takes the old credentials", () => {
    const host = scriptedHost();
    const [a, b] = [under("alice"), under("bob")];
    const anna = host.tab("anna", { servers: [a] });
    host.openSocket(a);
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", accepted(promptId));
    const [socket = 0] = host.coordinator.sockets.keys();
    for (const message of runOf(promptId)) host.take({ type: "message-received", socket, message, bytes: 1 });
    anna.call({ method: "setAuth", server: b, account: "bob" });
    expect([...host.coordinator.sockets.values()]).toEqual([b.key]);
    let count = 0;
    for (let time = 0; time < 20; time += 1) {
      for (const _ of host.pending("/system_stats").filter(({ server }) => server === a.key)) {
        host.reply("/system_stats", login);
        count += 1;
      }
      host.pass(30_000);
    }
    expect(count).toBeLessThan(3);
  });

  test("a tab cannot submit under another tab's prompt id, also as another account", () => {
    const host = scriptedHost();
    const { promptId } = host.tab("anna", { servers: [under("alice")] }).submit("portrait");
    host.openSocket(under("alice"));
    const stolen = host.tab("ben", { servers: [under("bob")] }).submit("bird", { promptId });
    expect(stolen.answer).toMatchObject({ error: { code: "invalid-option" } });
  });

  test("a tab cannot have another tab's prompt by remembering it under another account", () => {
    const host = scriptedHost();
    const anna = host.tab("anna", { servers: [under("alice")] });
    host.openSocket(under("alice"));
    const { promptId } = anna.submit("portrait");
    host.reply("/prompt", accepted(promptId));
    const known = { taskId: "x", promptId, lastSeq: 0, settled: false };
    const ben = host.tab("ben", { servers: [under("bob")], tasks: [known] });
    host.openSocket(under("bob"));
    host.pass(1_000);
    for (const _ of host.pending("/queue")) host.reply("/queue", queueOf([promptId]));
    expect(ben.heard("x")).toEqual([]);
  });

  test("a task that only its tab remembers is looked for under the account that the tab gets by setAuth", () => {
    const next = successor();
    const [a, b] = [under("alice"), under("bob")];
    const known = { taskId: "t", promptId: promptIdOf("p"), lastSeq: 0, settled: false };
    const anna = next.tab("anna", { servers: [a], tasks: [known] });
    next.openSocket(a);
    const answer = () => {
      for (const { server } of next.pending("/queue"))
        next.reply("/queue", server === a.key ? login : queueOf([promptIdOf("p")]));
      while (next.pending(/^\/history/).length > 0) next.reply(/^\/history/, login);
    };
    next.pass(1_000);
    answer();
    anna.call({ method: "setAuth", server: b, account: "bob" });
    next.openSocket(b);
    for (let time = 0; time < 400; time += 1) {
      next.pass(500);
      answer();
    }
    expect(anna.heard("t")).toContain("accepted");
    void historyOf;
  });

  test("a lock that a tab holds as one account is lost when it becomes another", () => {
    const host = scriptedHost();
    const [a, b] = [under("alice"), under("bob")];
    const anna = host.tab("anna", { servers: [a] });
    const ben = host.tab("ben", { servers: [b] });
    host.openSocket(a);
    host.openSocket(b);
    anna.call({ method: "lockServer", lock: { lockId: "1", mode: "exclusive", servers: ["s"] } });
    anna.call({ method: "setAuth", server: b, account: "bob" });
    const lock = ben.call({ method: "lockServer", lock: { lockId: "2", mode: "exclusive", servers: ["s"] } });
    anna.submit("portrait");
    const lost = anna.events.some((event) => event.kind === "lock" && event.state === "lost");
    expect(lock.answer).toMatchObject({ ok: { state: "granted" } });
    expect(lost).toBe(true);
  });

  test("the second POST goes out under no account that only another tab names", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const [a, b] = [under("alice"), under("bob")];
    first.tab("anna", { servers: [a] }).submit("portrait");
    first.openSocket(a);
    const next = successor(journal);
    next.tab("carl", { servers: [a] });
    next.tab("anna", { servers: [b] });
    next.openSocket(a);
    next.openSocket(b);
    nobodyKnows(next, 70_000);
    expect(posts(next).map(({ server }) => server)).not.toContain(a.key);
  });
});

describe("a server that a page names late, or not at all", () => {
  test("a prompt that is refused after another server was named goes there", () => {
    const other = declared("http://other.test");
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    anna.submit("portrait");
    anna.call({ method: "addServers", servers: [other] });
    host.openSocket(other);
    host.reply("/prompt", login);
    host.pass(5_000);
    expect(posts(host).map(({ server }) => server)).toEqual([other.key]);
  });

  test("a prompt whose server goes away before it is sent goes to one that was named meanwhile", () => {
    const other = declared("http://other.test");
    const host = scriptedHost({ journalKind: "indexeddb" });
    const anna = host.tab("anna");
    anna.submit("portrait");
    host.holdJournal();
    host.openSocket();
    anna.call({ method: "addServers", servers: [other] });
    host.openSocket(other);
    host.closeSocket();
    host.releaseJournal();
    host.pass(50);
    expect(posts(host).map(({ server }) => server)).toEqual([other.key]);
  });

  test("a task taken up as overdue goes on when its tab comes, also where the journal was wiped meanwhile", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    const { taskId, promptId } = anna.submit("portrait", { cancelAfterMs: 30_000 });
    gone(first, anna.port);
    const next = successor(journal, { tabsElsewhere: new Set(["tab-anna"]) });
    next.now = 45_000;
    next.take({ type: "host-started" });
    journal.entries.clear();
    const again = next.tab("anna", { tasks: [{ taskId, promptId, lastSeq: 0, settled: false }] });
    next.openSocket();
    nobodyKnows(next, 200_000);
    const task = next.coordinator.tasks.get(taskId);
    expect([posts(next).length, again.heard(taskId).length, task?.stage.at]).not.toEqual([0, 0, "waiting"]);
  });

  test("a live host that forgets what nobody could cancel lets go of its server", () => {
    const journal = journalModel();
    const host = scriptedHost({ journal, journalKind: "indexeddb" });
    host.take({ type: "host-started" });
    const anna = host.tab("anna");
    host.openSocket();
    const { promptId } = anna.submit("portrait", { cancelAfterMs: 30_000 });
    host.reply("/prompt", accepted(promptId));
    gone(host, anna.port);
    host.pass(120_000);
    host.now += 8 * 24 * 60 * 60_000;
    host.pass(120_000);
    expect(host.coordinator.tasks.size).toBe(0);
    expect([...host.coordinator.sockets.values()]).toEqual([]);
  });

  test("what another host has sent to a server that this page does not name is not left unsure for good", () => {
    const other = declared("http://other.test");
    const journal = journalModel();
    const old = scriptedHost({ journal, journalKind: "indexeddb" });
    const { taskId } = old.tab("anna").submit("portrait");
    const host = successor(journal);
    const anna = host.tab("anna", { servers: [other] });
    old.openSocket();
    expect(posts(old)).toHaveLength(1);
    host.openSocket(other);
    expect(host.coordinator.tasks.get(taskId)?.stage.at).toBe("unsure");
    for (const until = host.now + 200_000; host.now < until; host.pass(500)) {
      if (
        host.effects.some((e) => e.do === "open-socket" && e.server === comfy.key) &&
        host.coordinator.servers.get(comfy.key)?.connection.at === "connecting"
      )
        host.openSocket(comfy);
      while (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
      while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
      for (const _ of posts(host)) host.reply("/prompt", { failure: "network" });
    }
    expect(anna.heard(taskId).at(-1)).toBe("failed");
  });

  test.each([false, true])(
    "a task that a server may have, which is not named yet, is not called cancelled by a cancel that nobody sent (registered: %s)",
    (registered) => {
      const other = declared("http://other.test");
      const next = successor();
      const promptId = promptIdOf("p");
      const known = { taskId: "t", promptId, serverId: other.id, registered, lastSeq: 3, settled: false };
      const anna = next.tab("anna", { servers: [], tasks: [known] });
      const cancel = anna.call({ method: "cancel", taskId: "t" });
      anna.call({ method: "addServers", servers: [other] });
      next.openSocket(other);
      next.pass(5_000);
      expect(cancel.answer).toBeUndefined();
    },
  );

  test("a cancelled task whose server is never named is over half a minute later, and its call says that nobody let go of it", () => {
    const next = successor();
    const known = { taskId: "t", promptId: promptIdOf("p"), serverId: "nowhere", lastSeq: 3, settled: false };
    const anna = next.tab("anna", { tasks: [known] });
    const cancel = anna.call({ method: "cancel", taskId: "t" });
    next.pass(31_000);
    expect(cancel.answer).toEqual({ ok: false });
    expect(anna.taskEvents("t")).toMatchObject([{ type: "cancelled", by: "owner" }]);
  });
});

describe("a prompt that its app has sent", () => {
  describe("a registration that is repeated at the next host", () => {
    const promptId = promptIdOf("own");
    function repeated() {
      const next = successor();
      // What client/session.ts notes before it calls: the server, too.
      const known = {
        taskId: "t",
        serverId: comfy.id,
        promptId,
        registered: true,
        lastSeq: 0,
        settled: false,
      };
      const anna = next.tab("anna", { tasks: [known] });
      next.openSocket();
      next.reply("/system_stats", stats);
      const registration = { taskId: "t", serverId: comfy.id, promptId, cancelAfterMs: 30_000 };
      anna.call({ method: "register", registration });
      return { next, anna };
    }
    test("may be on its way for half a minute", () => {
      const { next, anna } = repeated();
      nobodyKnows(next, 20_000);
      expect(anna.heard("t")).not.toContain("lost");
    });
    test("keeps what is to happen when the page goes", () => {
      const { next, anna } = repeated();
      next.say({ type: "execution_start", promptId });
      gone(next, anna.port);
      next.pass(31_000);
      expect(next.pending(/\/cancel$/)).toHaveLength(1);
    });
  });

  test.each([
    ["is looked for", true],
    ["or that a server has taken is looked for", undefined],
  ])("%s at its server when that is named, though two hosts were not told of it", (_, registered) => {
    const other = declared("http://other.test");
    const promptId = promptIdOf("own");
    const known = {
      taskId: "t",
      serverId: other.id,
      promptId,
      registered: registered === true,
      lastSeq: 0,
      settled: false,
    };
    const journal = journalModel();
    successor(journal).tab("anna", { tasks: [known] });
    const next = successor(journal, { epoch: "epoch-3" });
    const anna = next.tab("anna", { tasks: [known] });
    next.openSocket();
    nobodyKnows(next, 90_000);
    expect(anna.heard("t")).toEqual([]);
    anna.call({ method: "addServers", servers: [other] });
    next.openSocket(other);
    next.pass(1_000);
    for (const { server } of next.pending("/queue"))
      next.reply("/queue", queueOf(server === other.key ? [promptId] : []));
    expect(anna.heard("t")).toContain("started");
  });

  test("a registered prompt that is cancelled while its POST may be on its way is not called cancelled before", () => {
    const host = scriptedHost();
    const anna = host.tab("anna");
    host.openSocket();
    host.reply("/system_stats", stats);
    const promptId = promptIdOf("own");
    anna.call({ method: "register", registration: { taskId: "t", serverId: comfy.id, promptId } });
    const cancel = anna.call({ method: "cancel", taskId: "t" });
    for (const until = host.now + 10_000; host.now < until; host.pass(500)) {
      while (host.pending(/\/cancel$/).length > 0) host.reply(/\/cancel$/, { cancelled: false });
      while (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
      while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
    }
    expect([cancel.answer, anna.heard("t")]).toEqual([undefined, []]);
  });

  test("another tab's prompt is not found at the next host either, where its owner has not come yet", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId } = first.tab("anna").submit("portrait");
    first.openSocket();
    first.reply("/prompt", accepted(promptId));
    const next = successor(journal);
    const ben = next.tab("ben");
    next.openSocket();
    ben.call({ method: "register", registration: { taskId: "b", serverId: comfy.id, promptId } });
    next.tab("anna");
    next.say(...runOf(promptId));
    for (let t = 0; t < 20; t += 1) {
      next.pass(500);
      while (next.pending("/queue").length > 0) next.reply("/queue", queueOf([]));
      while (next.pending(/^\/history/).length > 0)
        next.reply(/^\/history/, historyOf(promptId, { "2": { text: ["anna's"] } }));
    }
    expect(ben.heard("b")).not.toContain("succeeded");
  });
});
