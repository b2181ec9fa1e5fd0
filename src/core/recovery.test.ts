import { describe, expect, test } from "vitest";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import { type JournalModel, journalModel } from "../world/journal-model.ts";
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

/** A host that dies: what outlives it is the journal, and what the tab remembers. */
function former(journal = journalModel()) {
  const host = scriptedHost({ journal, journalKind: "indexeddb" });
  const anna = host.tab("anna");
  return { journal, host, anna };
}

function successor(journal: JournalModel, kind: "memory" | "indexeddb" = "indexeddb"): ScriptedHost {
  const host = scriptedHost({ journal, epoch: "epoch-2", journalKind: kind });
  host.now = 5_000;
  return host;
}

/** The next host of a task of anna's and one of ben's, which have been accepted. */
function ofTwoTabs() {
  const { journal, host: first, anna } = former();
  const ben = first.tab("ben");
  first.openSocket();
  for (const tab of [anna, ben]) accept(first, tab.submit(tab.name).promptId);
  return { first, host: successor(journal) };
}

const accept = (host: ScriptedHost, promptId: string): void =>
  host.reply("/prompt", { prompt_id: promptId, number: 1, node_errors: {} });
const openings = (host: ScriptedHost) =>
  host.effects.flatMap((effect) => (effect.do === "open-socket" ? [effect.clientId] : []));
const posts = (host: ScriptedHost) => host.pending("/prompt").filter(({ method }) => method === "POST");

describe("a task whose host died", () => {
  test("before a server was there is sent by the next host", () => {
    const { journal, anna } = former();
    const { taskId, promptId } = anna.submit("portrait");
    const host = successor(journal);
    const again = host.tab("anna");
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId, status: "submitting" }] } });
    host.openSocket();
    expect(posts(host)).toHaveLength(1);
    accept(host, promptId);
    host.say(...runOf(promptId));
    expect(again.heard(taskId).at(-1)).toBe("succeeded");
  });

  test("that was about to go to a server which went away just then goes to another one", () => {
    const other = declared("http://other.test");
    const { journal, host: first } = former();
    const ben = first.tab("ben", { servers: [comfy, other] });
    first.openSocket();
    first.holdJournal();
    ben.submit("portrait");
    first.closeSocket();
    first.releaseJournal();
    const host = successor(journal);
    host.tab("ben", { servers: [comfy, other] });
    host.openSocket(other);
    expect(posts(host)).toMatchObject([{ server: other.key }]);
  });

  test("whose files are at a server goes to no other, also where its page names that later", () => {
    const other = declared("http://other.test");
    const { journal, host: first } = former();
    first.tab("ben", { servers: [comfy, other] }).submit("portrait", { filesAt: [other.id] });
    const host = successor(journal);
    const ben = host.tab("ben");
    host.openSocket();
    expect(posts(host)).toEqual([]);
    const why = { code: "waiting", message: expect.stringContaining("has its files") };
    expect(ben.welcome).toMatchObject({ ok: { tasks: [{ events: [why] }] } });
    host.pass(2_000);
    expect(ben.heard()).toEqual([]);
    ben.call({ method: "addServers", servers: [other] });
    host.openSocket(other);
    expect(posts(host)).toMatchObject([{ server: other.key }]);
  });

  test("before the one server was there that it is for goes there as soon as its page names it", () => {
    const other = declared("http://other.test");
    const { journal, host: first } = former();
    first.tab("ben", { servers: [comfy, other] }).submit("portrait", { server: other.id });
    const host = successor(journal);
    const ben = host.tab("ben");
    ben.call({ method: "addServers", servers: [other] });
    host.openSocket();
    host.openSocket(other);
    expect(posts(host)).toMatchObject([{ server: other.key }]);
  });

  describe("and could not write any more, as a page has noted, so that the journal has it as unsent,", () => {
    const other = declared("http://other.test");

    function next(more: object = {}) {
      const { journal, anna } = former();
      const { taskId, promptId } = anna.submit("portrait");
      const host = successor(journal);
      const known = { taskId, promptId, lastSeq: 9, settled: false, ...more };
      const servers = [comfy, other];
      const again = host.tab("anna", { servers, tasks: [known], losses: "epoch-1" });
      host.openSocket();
      return { host, journal, again, taskId, promptId };
    }

    test("is not sent again where a server has it", () => {
      const { host, again, taskId, promptId } = next();
      nobodyKnows(host, 2_000);
      host.openSocket(other);
      host.pass(2_000);
      for (const one of host.pending("/queue"))
        host.reply("/queue", queueOf(one.server === other.key ? [promptId] : []));
      host.say(...runOf(promptId));
      expect(again.heard(taskId)).toContain("accepted");
      nobodyKnows(host, 70_000);
      expect(posts(host)).toEqual([]);
    });

    test("is not sent again where its tab was told which server took it", () => {
      const { host, again, taskId } = next({ serverId: other.id });
      expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId, serverId: other.id }] } });
      host.openSocket(other);
      nobodyKnows(host, 70_000);
      expect(again.heard(taskId).at(-1)).toBe("lost");
      expect(posts(host)).toEqual([]);
    });

    test("is not sent to the one server that its tab names so far, where it was told that another one took it", () => {
      const { journal, anna } = former();
      const { taskId, promptId } = anna.submit("portrait");
      const host = successor(journal);
      const known = { taskId, promptId, serverId: other.id, lastSeq: 9, settled: false };
      const again = host.tab("anna", { tasks: [known], losses: "epoch-1" });
      host.openSocket();
      nobodyKnows(host, 80_000);
      expect(posts(host)).toEqual([]);
      again.call({ method: "addServers", servers: [other] });
      expect(again.heard(taskId)).toContain("accepted");
    });

    test("is sent once nobody knows it for a minute", () => {
      const { host, again, taskId, promptId } = next();
      nobodyKnows(host, 59_000);
      expect(posts(host)).toEqual([]);
      nobodyKnows(host, 15_000);
      expect(posts(host)).toHaveLength(1);
      accept(host, promptId);
      host.say(...runOf(promptId));
      expect(again.heard(taskId).at(-1)).toBe("succeeded");
    });

    test("and that has ended, as its tab was told, is looked for and never sent", () => {
      const { host, again, taskId } = next({ settled: true });
      nobodyKnows(host, 70_000);
      expect(posts(host)).toEqual([]);
      expect(again.taskEvents(taskId).at(-1)).toMatchObject({ error: { code: "host-lost" } });
    });

    test("and that its tab has dismissed is forgotten, in the journal, too", () => {
      const { host, again, journal } = next({ settled: true, dismissed: true });
      expect(again.welcome).toMatchObject({ ok: { tasks: [] } });
      expect([host.coordinator.tasks.size, journal.entries.size]).toEqual([0, 0]);
    });

    test("is looked for at all its servers also where the journal names one", () => {
      const { journal, host: first, anna } = former();
      first.openSocket();
      const { taskId, promptId } = anna.submit("portrait");
      expect(journal.entries.get(taskId)).toMatchObject({ posts: 1, serverKey: comfy.key });
      const host = successor(journal);
      const again = host.tab("anna", { servers: [comfy, other], losses: "epoch-1" });
      for (const server of [comfy, other]) host.openSocket(server);
      for (let waited = 0; waited < 70_000; waited += 500) {
        host.pass(500);
        for (const one of host.pending("/queue"))
          host.reply("/queue", queueOf(one.server === other.key ? [promptId] : []));
        for (const _ of host.pending(/^\/history/)) host.reply(/^\/history/, {});
      }
      expect(again.heard(taskId)).toContain("accepted");
      expect(posts(host)).toEqual([]);
    });

    test("is cancelled by its tab like any other", () => {
      const { host, again, taskId } = next();
      const { answer } = again.call({ method: "cancel", taskId });
      expect(answer).toBeUndefined();
      nobodyKnows(host, 70_000);
      expect(again.heard(taskId).at(-1)).toBe("cancelled");
      expect(posts(host)).toEqual([]);
    });
  });

  test("and that was sent again, for nobody knew it, is no sign of several servers when the queue has it then", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    const host = successor(journal);
    const again = host.tab("anna");
    host.openSocket();
    nobodyKnows(host, 70_000);
    const text = JSON.stringify({ prompt_id: promptId, number: 1, node_errors: {} });
    const answer = { status: 200, text };
    host.take({ type: "request-answered", request: posts(host)[0]?.request ?? 0, answer });
    host.pass(6_000);
    host.reply("/queue", queueOf([promptId]));
    expect(again.heard(taskId)).toContain("started");
    host.closeSocket();
    host.pass(1_000);
    host.openSocket();
    nobodyKnows(host, 5_000);
    expect(again.heard(taskId).at(-1)).toBe("lost");
  });

  test("between POST and answer is looked for, and not sent again for a minute", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    expect(posts(first)).toHaveLength(1);
    const host = successor(journal);
    const again = host.tab("anna");
    host.openSocket();
    expect(posts(host)).toHaveLength(0);
    host.pass(1_000);
    host.reply("/queue", queueOf([promptId]));
    expect(again.heard(taskId)).toContain("accepted");
    expect(posts(host)).toHaveLength(0);
  });

  test("between POST and answer is sent once more after a minute in which nobody knew it", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId } = anna.submit("portrait");
    const host = successor(journal);
    host.tab("anna");
    host.openSocket();
    for (let waited = 0; waited < 70_000 && posts(host).length === 0; waited += 500) {
      host.pass(500);
      if (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
      if (host.pending(/^\/history\//).length > 0) host.reply(/^\/history\//, {});
    }
    expect(posts(host)).toHaveLength(1);
    expect(host.now - 5_000).toBeGreaterThanOrEqual(60_000);
    expect(posts(host)[0]?.body).toContain(promptId);
  });

  test("while it ran is followed by look-ups, and its ending comes from the history", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(first, promptId);
    first.say(...runOf(promptId).slice(0, 3));
    const host = successor(journal);
    const again = host.tab("anna");
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId, status: "queued", promptId }] } });
    host.openSocket();
    host.pass(600);
    host.reply("/queue", queueOf([]));
    host.reply(`/history/${promptId}`, historyOf(promptId, { "2": { text: ["1"] } }));
    expect(again.heard(taskId).slice(-2)).toEqual(["output", "succeeded"]);
  });

  test("and that was stalled can be dismissed at the next one at once", () => {
    const { journal, host: first, anna } = former();
    const { taskId, promptId } = anna.submit("portrait");
    first.openSocket();
    accept(first, promptId);
    first.say({ type: "execution_start", promptId });
    for (let waited = 0; waited < 200; waited += 10) {
      first.pass(10_000);
      while (first.pending("/queue").length > 0) first.reply("/queue", queueOf([promptId]));
    }
    expect(anna.taskEvents(taskId)).toContainEqual(expect.objectContaining({ code: "stalled" }));
    const again = successor(journal).tab("anna");
    expect(again.call({ method: "dismiss", taskId }).answer).toEqual({ ok: null });
  });

  test("is asked for every two seconds as long as only its former host's socket would hear it", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId } = anna.submit("portrait");
    accept(first, promptId);
    const host = successor(journal);
    host.tab("anna");
    host.openSocket();
    host.pass(600);
    host.reply("/queue", queueOf([promptId]));
    host.pass(2_100);
    expect(host.pending("/queue")).toHaveLength(1);
  });

  test("is lost where it ended and was cleared away while only its former host's socket would hear it: no sign of several servers", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { taskId, promptId } = anna.submit("portrait");
    accept(first, promptId);
    const host = successor(journal);
    const again = host.tab("anna");
    host.openSocket();
    host.pass(600);
    host.reply("/queue", queueOf([promptId]));
    for (let round = 0; round < 12; round += 1) {
      nobodyKnows(host, 5_000);
      host.say({ type: "status", queueRemaining: 0 });
    }
    expect(again.taskEvents(taskId).at(-1)).toMatchObject({ type: "lost" });
    expect(again.taskEvents(taskId).map((event) => "code" in event && event.code)).not.toContain(
      "not-one-server",
    );
  });

  test("is heard on under the client id of its former host, once that is known to be dead", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(first, promptId);
    const host = successor(journal);
    const again = host.tab("anna");
    expect(openings(host)).toEqual(openings(first));
    host.openSocket();
    host.say({ type: "progress", promptId, nodeId: "1", value: 3, max: 9 });
    expect(again.taskEvents(taskId).at(-1)).toMatchObject({ type: "progress", value: 3 });
  });

  test("has the outputs that its former host's client id brought before its tab came", () => {
    const { host } = ofTwoTabs();
    host.tab("ben");
    host.openSocket();
    host.say(...runOf(promptIdOf("anna")));
    const again = host.tab("anna");
    expect(again.taskEvents().at(-1)).toMatchObject({ result: { outputs: { 2: { text: ["1"] } } } });
  });

  test("is never listened for under the client id of a host that may be alive", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    accept(first, anna.submit("portrait").promptId);
    const host = scriptedHost({ journal, epoch: "epoch-2", journalKind: "indexeddb", formerHost: "alive" });
    host.tab("anna");
    expect(openings(host)).toHaveLength(1);
    expect(openings(host)).not.toEqual(openings(first));
  });

  test("is listened for under a new client id where our own socket under the former one may not be closed yet", () => {
    const { first, host } = ofTwoTabs();
    const again = host.tab("anna");
    host.openSocket();
    host.say(...runOf(promptIdOf("anna")));
    host.reply(/^\/history/, historyOf(promptIdOf("anna"), {}));
    again.call({ method: "dismiss", taskId: "task-anna" });
    host.take({ type: "tab-gone", port: again.port });
    host.tab("ben");
    const [inherited, second] = openings(host);
    expect([inherited]).toEqual(openings(first));
    expect(second).toMatch(/^epoch-2-/);
  });

  test("and had ended is there with its ending, which is told once", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(first, promptId);
    first.say(...runOf(promptId));
    const host = successor(journal);
    const again = host.tab("anna");
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId, status: "succeeded" }] } });
    host.openSocket();
    host.pass(60_000);
    expect(again.heard(taskId)).toEqual([]);
  });

  test("and was being cancelled is cancelled by its owner, not lost", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(first, promptId);
    anna.call({ method: "cancel", taskId });
    const host = successor(journal);
    const again = host.tab("anna");
    host.openSocket();
    for (let waited = 0; waited < 10_000; waited += 500) {
      host.pass(500);
      if (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
      if (host.pending(/^\/history\//).length > 0) host.reply(/^\/history\//, {});
    }
    expect(again.taskEvents(taskId).at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
    expect(posts(host)).toHaveLength(0);
    expect(promptId).toBe(promptIdOf("portrait"));
  });

  test("and had ended is told so above all that the tab has heard from a host that journalled nothing", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(first, promptId);
    first.say(...runOf(promptId));
    const host = successor(journal);
    host.tab("anna", {
      tasks: [{ taskId, promptId, serverId: comfy.id, lastSeq: 1_000, settled: false }],
    });
    const told = host.coordinator.tasks.get(taskId)?.record.items().at(-1);
    expect(told?.type).toBe("succeeded");
    expect(told?.seq).toBeGreaterThan(1_000);
  });

  test("is looked for under the id that an old server gave it, which only its tab has heard", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { taskId } = anna.submit("portrait");
    const host = successor(journal);
    const again = host.tab("anna", {
      tasks: [{ taskId, promptId: "its-own", serverId: comfy.id, lastSeq: 1, settled: false }],
    });
    host.openSocket();
    host.pass(1_000);
    host.reply("/queue", queueOf(["its-own"]));
    expect(again.heard(taskId)).toContain("started");
  });

  test("counts its events on, above all that the tab has heard", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(first, promptId);
    const host = successor(journal);
    const again = host.tab("anna", {
      tasks: [{ taskId, promptId, serverId: comfy.id, lastSeq: 900, settled: false }],
    });
    host.openSocket();
    host.pass(600);
    host.reply("/queue", queueOf([promptId]));
    const [firstEvent] = again.taskEvents(taskId);
    expect(firstEvent?.seq).toBeGreaterThan(900);
  });

  test("with credentials that only it knew fails as unauthorized instead of going out without them", () => {
    const { journal, anna } = former();
    const { taskId } = anna.submit("portrait", { extraData: { api_key_comfy_org: "sk-4711", seed: 1 } });
    expect(JSON.stringify([...journal.entries.values()])).not.toContain("sk-4711");
    const host = successor(journal);
    const again = host.tab("anna");
    host.openSocket();
    expect(posts(host)).toHaveLength(0);
    expect(again.welcome).toMatchObject({ ok: { tasks: [{ taskId, status: "submitting" }] } });
    expect(again.taskEvents(taskId).at(-1)).toMatchObject({
      type: "failed",
      error: { code: "unauthorized" },
    });
  });

  test("is nobody else's: another secret under the same tab id finds nothing", () => {
    const { journal, anna } = former();
    anna.submit("portrait");
    const host = successor(journal);
    const thief = host.tab("anna", { secret: "guessed" });
    expect(thief.welcome).toMatchObject({ ok: { tasks: [] } });
  });
});

describe("a computer that slept", () => {
  test("does not count that time: a POST may be on its way as before", () => {
    const { journal, host: first, anna } = former();
    first.openSocket();
    anna.submit("portrait");
    const host = successor(journal);
    host.tab("anna");
    host.openSocket();
    host.now += 3_600_000;
    const wokeAt = host.now;
    for (let waited = 0; waited < 80_000 && posts(host).length === 0; waited += 500) {
      host.pass(500);
      if (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
      if (host.pending(/^\/history\//).length > 0) host.reply(/^\/history\//, {});
    }
    expect(posts(host)).toHaveLength(1);
    expect(host.now - wokeAt).toBeGreaterThanOrEqual(59_000);
  });
});

describe("a server that was restarted", () => {
  test("is not believed to know a prompt by what it said before its socket broke", () => {
    const { host, anna } = former();
    host.openSocket();
    const { promptId, taskId } = anna.submit("portrait");
    accept(host, promptId);
    host.pass(6_000);
    expect(host.pending("/queue")).toHaveLength(1);
    host.closeSocket();
    host.reply("/queue", queueOf([promptId]));
    for (let waited = 0; waited < 20_000; waited += 500) {
      host.pass(500);
      if (host.coordinator.servers.get(comfy.key)?.connection.at === "connecting") host.openSocket();
      if (host.pending("/queue").length > 0) host.reply("/queue", queueOf([]));
      if (host.pending(/^\/history\//).length > 0) host.reply(/^\/history\//, {});
    }
    expect(anna.taskEvents(taskId).at(-1)).toMatchObject({ type: "lost", reason: "server-restarted" });
  });
});

describe("a submit that is repeated at the next host", () => {
  const known = (name: string) => [
    { taskId: `task-${name}`, promptId: promptIdOf(name), lastSeq: 0, settled: false },
  ];

  test("goes out at once where a journal that outlives hosts never heard of it", () => {
    const host = successor(journalModel());
    const anna = host.tab("anna", { tasks: known("portrait") });
    host.openSocket();
    anna.submit("portrait");
    expect(posts(host)).toHaveLength(1);
  });

  test("goes where it is to go, and is cancelled as it was to be", () => {
    const other = declared("http://other.test");
    const host = successor(journalModel());
    const anna = host.tab("anna", { servers: [comfy, other], tasks: known("portrait") });
    host.openSocket(comfy);
    anna.submit("portrait", { server: other.id, cancelAfterMs: 1_000 });
    expect(posts(host)).toEqual([]);
    host.openSocket(other);
    expect(posts(host).map(({ server }) => server)).toEqual([other.key]);
    host.reply("/prompt", { prompt_id: promptIdOf("portrait"), number: 1, node_errors: {} });
    host.take({ type: "tab-gone", port: anna.port });
    host.pass(1_100);
    expect(host.coordinator.tasks.get("task-portrait")?.cancel).toBeDefined();
  });

  test("is promised only when the journal has it, so that one more dead host loses nothing", () => {
    const journal = journalModel();
    const second = successor(journal);
    const anna = second.tab("anna", { tasks: known("portrait") });
    const { answer, taskId } = anna.submit("portrait");
    expect(answer).toMatchObject({ ok: { status: "submitting" } });
    expect(journal.entries.get(taskId)?.workflow).toBeDefined();
  });

  test("is looked for first where the former host wakes up and sends it while the next one takes it up", () => {
    const journal = journalModel();
    const { host: first, anna } = former(journal);
    let isEarly = true;
    const host = successor({
      ...journal,
      claim(tabId, secret) {
        if (!isEarly) return journal.claim(tabId, secret);
        isEarly = false;
        first.openSocket();
        anna.submit("portrait");
        return [];
      },
    });
    host.holdJournal();
    const again = host.tab("anna", { tasks: known("portrait") });
    host.openSocket();
    const submitted = again.submit("portrait");
    host.releaseJournal();
    expect(submitted.answer).toMatchObject({ ok: { status: "submitting" } });
    expect([...posts(first), ...posts(host)]).toHaveLength(1);
  });

  test("is looked for first where the former host has sent it with credentials, which are in no journal", () => {
    const journal = journalModel();
    const { host: first, anna } = former(journal);
    first.openSocket();
    const host = successor(journal);
    host.holdJournal("all");
    const again = host.tab("anna", { tasks: known("portrait") });
    const extraData = { api_key_comfy_org: "secret" };
    anna.submit("portrait", { extraData });
    host.releaseJournal();
    host.openSocket();
    const submitted = again.submit("portrait", { extraData });
    expect(submitted.answer).toMatchObject({ ok: { status: "submitting" } });
    expect([...posts(first), ...posts(host)]).toHaveLength(1);
  });

  test.each([
    ["died with it", "memory", {}],
    ["could not be written any more, as a page has noted", "indexeddb", { losses: "epoch-1" }],
  ] as const)("is looked for first where the former host's journal %s, and then sent", (_, kind, more) => {
    const host = successor(journalModel(), kind);
    const anna = host.tab("anna", { tasks: known("portrait"), ...more });
    host.openSocket();
    const { answer } = anna.submit("portrait");
    expect(answer).toMatchObject({ ok: { status: "submitting" } });
    nobodyKnows(host, 59_000);
    expect(posts(host)).toEqual([]);
    nobodyKnows(host, 10_000);
    expect(posts(host)).toHaveLength(1);
  });
});

describe("a task of a page that has heard more of it from hosts which have died since", () => {
  const accepted = () => {
    const { host, anna } = former();
    host.openSocket();
    const { taskId, promptId } = anna.submit("portrait");
    accept(host, promptId);
    const back = () => host.tab("anna", { tasks: [{ taskId, promptId, lastSeq: 5_000, settled: false }] });
    return { host, taskId, promptId, back };
  };

  test("tells its ending under a number that is new to the page", () => {
    const { host, taskId, promptId, back } = accepted();
    const again = back();
    host.say(...runOf(promptId));
    expect(again.taskEvents(taskId).at(-1)).toMatchObject({ type: "succeeded" });
    expect(again.taskEvents(taskId).every(({ seq }) => seq > 5_000)).toBe(true);
  });

  test("has told its ending already, and tells it once more under such a number", () => {
    const { host, promptId, back } = accepted();
    host.say(...runOf(promptId));
    const { welcome } = back() as unknown as { welcome: { ok: { tasks: TaskSnapshot[] } } };
    const [snapshot] = welcome.ok.tasks;
    const endings = snapshot?.events.filter(({ type }) => type === "succeeded");
    expect(endings).toMatchObject([{ seq: snapshot?.seq }]);
    expect(snapshot?.seq).toBeGreaterThan(5_000);
  });

  test("tells under such a number that it stays open, for several servers share the address", () => {
    const { host: first, journal, anna } = former();
    first.openSocket();
    const { taskId, promptId } = anna.submit("portrait");
    accept(first, promptId);
    for (let round = 0; round < 10; round += 1) {
      nobodyKnows(first, 6_000);
      first.say({ type: "status", queueRemaining: 1 });
    }
    expect(anna.taskEvents().at(-1)).toMatchObject({ code: "not-one-server" });
    const tasks = [{ taskId, promptId, lastSeq: 5_000, settled: false }];
    const { welcome } = successor(journal).tab("anna", { tasks }) as unknown as {
      welcome: { ok: { tasks: [TaskSnapshot] } };
    };
    const { events, seq } = welcome.ok.tasks[0];
    const warning = events.find((event) => event.type === "warning" && event.code === "not-one-server");
    expect(warning?.seq).toBeGreaterThan(5_000);
    expect(warning?.seq).toBeLessThanOrEqual(seq);
  });
});

describe("a task that its tab has dismissed", () => {
  test("stays so where a former host wakes up and journals it anew", () => {
    const { host, journal, anna } = former();
    const { taskId } = anna.submit("portrait");
    const [written] = journal.entries.values();
    anna.call({ method: "cancel", taskId });
    anna.call({ method: "dismiss", taskId });
    if (written) journal.write(written, true);
    const again = host.tab("anna");
    expect(again.welcome).toMatchObject({ ok: { tasks: [] } });
    expect([host.coordinator.tasks.size, journal.entries.size]).toEqual([0, 0]);
  });

  test("stays so at the host that it was left for, and that still has it", () => {
    const { host, journal, anna } = former();
    host.openSocket();
    const { taskId, promptId } = anna.submit("portrait");
    accept(host, promptId);
    const left = { taskId, promptId, lastSeq: 9, settled: true, dismissed: true };
    const again = host.tab("anna", { tasks: [left] });
    expect(again.welcome).toMatchObject({ ok: { tasks: [] } });
    expect([host.coordinator.tasks.size, journal.entries.size]).toEqual([0, 0]);
    host.say(...runOf(promptId));
    expect(again.heard(taskId)).toEqual([]);
  });

  test("stays so where another page of its tab, that has not heard of it, comes back with it", () => {
    const { host, anna } = former();
    const { taskId, promptId } = anna.submit("portrait");
    anna.call({ method: "cancel", taskId });
    anna.call({ method: "dismiss", taskId });
    const copy = host.tab("anna", { tasks: [{ taskId, promptId, lastSeq: 0, settled: false }] });
    expect(copy.welcome).toMatchObject({ ok: { tasks: [] } });
    host.openSocket();
    expect([host.coordinator.tasks.size, host.pending("/queue")]).toEqual([0, []]);
  });
});

describe("a task that only its tab remembers", () => {
  const other = declared("http://other.test");
  const remembered = {
    taskId: "task-portrait",
    promptId: promptIdOf("portrait"),
    lastSeq: 0,
    settled: false,
  };
  /** Every server that is asked answers that it does not know it. */
  function nobodyKnows(host: ScriptedHost, until: number, server?: string): void {
    const asked = (path: string | RegExp) =>
      host.pending(path).filter((one) => server === undefined || one.server === server);
    while (host.now < until) {
      host.pass(500);
      if (asked("/queue").length > 0) host.reply("/queue", queueOf([]));
      if (asked(/^\/history/).length > 0) host.reply(/^\/history/, {});
    }
  }

  test("fails as one that never reached a server, after a minute of look-ups, for its POST may be on its way", () => {
    const host = successor(journalModel());
    const anna = host.tab("anna", { tasks: [remembered] });
    host.openSocket();
    nobodyKnows(host, 60_000);
    expect(anna.heard("task-portrait")).not.toContain("failed");
    nobodyKnows(host, 75_000);
    expect(anna.taskEvents("task-portrait").at(-1)).toMatchObject({
      type: "failed",
      error: { code: "host-lost" },
    });
  });

  test("is asked for at every server once more when its POST cannot be on its way any longer", () => {
    const host = successor(journalModel());
    const anna = host.tab("anna", { servers: [comfy, other], tasks: [remembered] });
    nobodyKnows(host, 10_000, comfy.key);
    // The other one is down for longer than a POST takes, and what the first one said is old by then.
    nobodyKnows(host, 100_000, comfy.key);
    nobodyKnows(host, 104_000);
    expect(anna.heard("task-portrait")).not.toContain("failed");
    for (let waited = 0; waited < 20 && !anna.heard().includes("accepted"); waited += 1) {
      host.pass(500);
      const [asked] = host.pending("/queue");
      if (asked) host.reply("/queue", queueOf(asked.server === comfy.key ? [remembered.promptId] : []));
      if (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
    }
    expect(anna.heard("task-portrait")).toContain("accepted");
  });

  test("is looked for only for so long also where its tab names one server twice", () => {
    const host = successor(journalModel());
    const twice = declared(comfy.url, { id: "the same" });
    const anna = host.tab("anna", { servers: [comfy, twice], tasks: [remembered] });
    host.openSocket();
    nobodyKnows(host, 75_000);
    expect(anna.heard(remembered.taskId).at(-1)).toBe("failed");
  });

  test("is found at the second of two servers though the first one never answers", () => {
    const host = successor(journalModel());
    const anna = host.tab("anna", { servers: [comfy, other], tasks: [remembered] });
    host.openSocket(other);
    for (let waited = 0; waited < 30_000 && !anna.heard().includes("accepted"); waited += 500) {
      host.pass(500);
      for (const { server } of host.pending("/queue"))
        host.reply("/queue", server === comfy.key ? { failure: "network" } : queueOf([remembered.promptId]));
    }
    expect(anna.heard(remembered.taskId)).toContain("accepted");
  });

  test("is given up by no round of questions in which one of its servers did not answer", () => {
    const host = successor(journalModel());
    const anna = host.tab("anna", { servers: [comfy, other], tasks: [remembered] });
    host.openSocket(other);
    const answers = (): void => {
      for (const { server } of host.pending("/queue"))
        host.reply("/queue", server === comfy.key ? { failure: "network" } : queueOf([]));
      while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
    };
    for (const until = host.now + 150_000; host.now < until; answers()) host.pass(500);
    expect(anna.heard(remembered.taskId)).not.toContain("failed");
    nobodyKnows(host, host.now + 20_000);
    expect(anna.heard(remembered.taskId).at(-1)).toBe("failed");
  });

  describe("and whose call, for a server that its page does not name, is repeated", () => {
    const call = (anna: ReturnType<ScriptedHost["tab"]>) =>
      anna.call({
        method: "submit",
        submission: { taskId: remembered.taskId, promptId: remembered.promptId, server: other.id },
        workflow: "{}",
      });

    test("fails as it would have at the host before, if that cannot have sent it", () => {
      const host = successor(journalModel());
      const anna = host.tab("anna", { tasks: [remembered] });
      expect(call(anna).answer).toMatchObject({ ok: { taskId: remembered.taskId } });
      expect(anna.taskEvents(remembered.taskId)).toMatchObject([
        { type: "failed", error: { code: "not-found" } },
      ]);
    });

    test("is looked for there when that is named, and sent where it is unknown", () => {
      const host = successor(journalModel());
      host.take({ type: "journal-degraded", reason: "full" });
      const anna = host.tab("anna", { tasks: [remembered] });
      host.take({ type: "tab-noted", port: anna.port });
      host.openSocket();
      call(anna);
      nobodyKnows(host, host.now + 90_000);
      expect(posts(host)).toEqual([]);
      anna.call({ method: "addServers", servers: [other] });
      host.openSocket(other);
      nobodyKnows(host, host.now + 90_000);
      expect(posts(host)).toMatchObject([{ server: other.key }]);
    });
  });

  test("is looked for at the server that took it as soon as a page names that, and nowhere before", () => {
    const host = successor(journalModel());
    const known = { ...remembered, serverId: other.id };
    const anna = host.tab("anna", { servers: [], tasks: [known] });
    expect(anna.welcome).toMatchObject({ ok: { tasks: [{ taskId: known.taskId, status: "submitting" }] } });
    anna.call({ method: "addServers", servers: [comfy] });
    host.openSocket();
    nobodyKnows(host, 90_000);
    expect(anna.heard(known.taskId)).toEqual([]);
    anna.call({ method: "addServers", servers: [other] });
    host.openSocket(other);
    host.pass(1_000);
    expect(anna.heard(known.taskId)).toContain("accepted");
    expect(host.pending("/queue").map(({ server }) => server)).toEqual([other.key]);
  });

  test("is numbered on above what another page of its tab has heard, also where the journal was wiped", () => {
    const journal = journalModel();
    const host = successor(journal);
    host.tab("anna", { tasks: [remembered] });
    journal.entries.clear();
    host.tab("anna", { tasks: [{ ...remembered, lastSeq: 5_000 }] });
    expect(host.coordinator.tasks.get(remembered.taskId)?.seq).toBeGreaterThan(5_000);
  });

  test("is looked for where a later page of its tab names servers, and the first one named none", () => {
    const host = successor(journalModel());
    host.tab("anna", { servers: [], tasks: [remembered] });
    const anna = host.tab("anna", { tasks: [remembered] });
    host.openSocket();
    host.pass(1_000);
    host.reply("/queue", queueOf([], [remembered.promptId]));
    expect(anna.heard(remembered.taskId)).toContain("accepted");
  });

  test("is lost, and soon, where a server had told the tab that it took it", () => {
    const host = successor(journalModel());
    const anna = host.tab("anna", { tasks: [{ ...remembered, serverId: comfy.id }] });
    host.openSocket();
    nobodyKnows(host, 10_000);
    expect(anna.taskEvents("task-portrait").at(-1)).toMatchObject({ type: "lost" });
  });
});

describe("a host that lost a task to another one", () => {
  test("does not post it when it wakes up between journal and POST", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    const { taskId, promptId } = anna.submit("portrait");
    const second = successor(journal);
    second.tab("anna");
    first.take({ type: "tab-gone", port: anna.port });
    first.openSocket();
    expect(posts(first)).toHaveLength(0);
    expect(first.coordinator.tasks.has(taskId)).toBe(false);
    second.openSocket();
    expect(posts(second)[0]?.body).toContain(promptId);
  });

  test("lets go of its server, where it has nothing else to do", () => {
    const { journal, host, anna } = former();
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    accept(host, promptId);
    host.take({ type: "tab-gone", port: anna.port });
    successor(journal).tab("anna");
    host.say(...runOf(promptId));
    expect([host.coordinator.tasks.size, host.coordinator.sockets.size]).toEqual([0, 0]);
  });

  test("does not post what the other one has sent, though it takes the page for its own still", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId } = first.tab("anna").submit("portrait");
    const second = successor(journal);
    second.tab("anna");
    second.openSocket();
    expect(posts(second)[0]?.body).toContain(promptId);
    first.openSocket();
    expect(posts(first)).toHaveLength(0);
  });

  test("looks for what the other one has sent under the id that an old server gave it there", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    const { taskId } = anna.submit("portrait");
    const second = successor(journal);
    second.tab("anna");
    second.openSocket();
    const given = promptIdOf("given");
    accept(second, given);
    first.openSocket();
    first.pass(500);
    first.reply("/queue", queueOf([given]));
    expect(anna.heard(taskId).slice(-2)).toEqual(["accepted", "started"]);
    expect(posts(first)).toEqual([]);
  });

  test("does not send once more what the other one has just sent once more", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    first.openSocket();
    anna.submit("portrait");
    first.reply("/prompt", { failure: "network" });
    const second = successor(journal);
    second.tab("anna");
    second.openSocket();
    nobodyKnows(second, 70_000);
    expect(posts(second)).toHaveLength(1);
    nobodyKnows(first, 50_000);
    first.tab("anna");
    nobodyKnows(first, 30_000);
    expect(posts(first)).toHaveLength(0);
  });

  test("looks for what the other one has sent where a page that is gone had asked for its tasks", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId } = first.tab("anna").submit("portrait");
    const second = successor(journal);
    second.tab("anna");
    second.openSocket();
    expect(posts(second)[0]?.body).toContain(promptId);
    first.tab("anna");
    first.openSocket();
    expect(posts(first)).toHaveLength(0);
    first.pass(500);
    expect(first.pending("/queue")).toHaveLength(1);
  });

  test("counts on above what the page has heard from the other one meanwhile", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId, taskId } = first.tab("anna").submit("portrait");
    const second = successor(journal);
    const anna = second.tab("anna");
    second.openSocket();
    accept(second, promptId);
    second.say(...runOf(promptId).slice(0, 3));
    second.say({ type: "progress", promptId, nodeId: "1", value: 3, max: 9 });
    first.openSocket();
    first.pass(2_000);
    first.reply("/queue", queueOf([]));
    first.reply(/^\/history/, historyOf(promptId, {}));
    const [told = 0] = anna
      .taskEvents(taskId)
      .map(({ seq }) => seq)
      .slice(-1);
    expect(journal.entries.get(taskId)).toMatchObject({ generation: 3, settledAt: expect.any(Number) });
    expect(journal.entries.get(taskId)?.seq).toBeGreaterThan(told);
  });

  test("tells the ending that the other one wrote, whatever it has found out itself", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId, taskId } = first.tab("anna").submit("portrait");
    first.openSocket();
    accept(first, promptId);
    const second = successor(journal);
    second.tab("anna");
    second.openSocket();
    second.pass(600);
    second.reply("/queue", queueOf([]));
    second.reply(/^\/history/, historyOf(promptId, {}));
    expect(journal.entries.get(taskId)?.events.at(-1)?.type).toBe("succeeded");
    first.say(...runOf(promptId).slice(0, 2), { type: "execution_interrupted", promptId, executed: [] });
    first.say({ type: "executing", promptId, nodeId: null });
    expect(first.coordinator.tasks.get(taskId)?.stage).toMatchObject({ at: "settled", status: "succeeded" });
    expect(journal.entries.get(taskId)?.events.at(-1)?.type).toBe("succeeded");
  });

  test("does not end it for want of news that the other one has: it was sent once more there", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const anna = first.tab("anna");
    first.openSocket();
    first.reply("/system_stats", { system: { comfyui_version: "0.33.0" } });
    const { promptId, taskId } = anna.submit("portrait");
    first.reply("/prompt", { failure: "network" });
    anna.call({ method: "cancel", taskId });
    nobodyKnows(first, 55_000);
    const second = successor(journal);
    second.now = first.now;
    second.tab("anna");
    const entry = journal.entries.get(taskId);
    if (entry) journal.entries.set(taskId, { ...entry, posts: 2 });
    nobodyKnows(first, 10_000);
    expect(first.coordinator.tasks.get(taskId)?.stage.at).toBe("unsure");
    first.say({ type: "execution_start", promptId });
    first.pass(2_000);
    expect(first.pending(/cancel$/)).toHaveLength(1);
  });

  test("answers a cancellation in time also where the other one has sent the task meanwhile", () => {
    const { journal, host, anna } = former();
    const { taskId } = anna.submit("portrait");
    const other = successor(journal);
    other.tab("anna");
    other.openSocket();
    expect(posts(other)).toHaveLength(1);
    const cancelled = anna.call({ method: "cancel", taskId });
    expect(host.coordinator.tasks.get(taskId)?.stage.at).toBe("unsure");
    host.pass(31_000);
    expect(cancelled.answer).toEqual({ ok: false });
  });

  test("knows that its owner has cancelled it there", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId, taskId } = first.tab("anna").submit("portrait");
    first.openSocket();
    accept(first, promptId);
    const second = successor(journal);
    second.tab("anna").call({ method: "cancel", taskId });
    first.say(...runOf(promptId).slice(0, 2), { type: "execution_interrupted", promptId, executed: [] });
    first.say({ type: "executing", promptId, nodeId: null });
    expect(journal.entries.get(taskId)?.events.at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
  });

  test("knows that also where the server has forgotten it, and a restart was seen", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    const { promptId, taskId } = first.tab("anna").submit("portrait");
    first.openSocket();
    accept(first, promptId);
    const second = successor(journal);
    second.now = first.now;
    second.tab("anna").call({ method: "cancel", taskId });
    first.closeSocket();
    first.pass(1_000);
    first.openSocket();
    nobodyKnows(first, first.now + 10_000);
    expect(journal.entries.get(taskId)?.events.at(-1)).toMatchObject({ type: "cancelled", by: "owner" });
  });

  test("asks the journal again when it was held up after its answer", () => {
    const host = scriptedHost({ journalKind: "indexeddb" });
    const anna = host.tab("anna");
    host.openSocket();
    host.holdJournal();
    anna.submit("portrait");
    host.now += 6_000;
    host.releaseJournal();
    const writes = host.effects.filter((effect) => effect.do === "write-journal");
    expect(writes).toHaveLength(2);
    expect(posts(host)).toHaveLength(1);
  });

  test("claims it back where the page is with it: the other host woke up after the page had left it", () => {
    const journal = journalModel();
    const zombie = scriptedHost({ journal, journalKind: "indexeddb" });
    const old = zombie.tab("anna");
    const host = successor(journal);
    const anna = host.tab("anna");
    const { taskId, promptId } = anna.submit("portrait");
    host.openSocket();
    accept(host, promptId);
    zombie.take({ type: "tab-gone", port: old.port });
    zombie.tab("anna", { hasLock: true });
    expect(journal.entries.get(taskId)?.generation).toBe(2);
    host.say(...runOf(promptId));
    expect(anna.heard(taskId).at(-1)).toBe("succeeded");
    expect(journal.entries.get(taskId)).toMatchObject({ generation: 3, settledAt: expect.any(Number) });
  });

  test("does not take a task for new that another host has written under the same id", () => {
    const journal = journalModel();
    const zombie = scriptedHost({ journal, journalKind: "indexeddb" });
    const old = zombie.tab("anna");
    const host = successor(journal);
    const anna = host.tab("anna");
    zombie.openSocket();
    host.openSocket();
    const { promptId } = anna.submit("portrait");
    zombie.holdJournal();
    old.submit("portrait");
    zombie.take({ type: "tab-gone", port: old.port });
    zombie.releaseJournal();
    expect([...posts(host), ...posts(zombie)].map(({ body }) => body?.includes(promptId))).toEqual([true]);
  });

  test("keeps what it writes while it looks for overdue tasks, which raises the number of its own", () => {
    const host = scriptedHost({ journalKind: "indexeddb" });
    const anna = host.tab("anna");
    host.openSocket();
    const { taskId, promptId } = anna.submit("portrait", { cancelAfterMs: 1_000 });
    accept(host, promptId);
    host.take({ type: "tab-gone", port: anna.port });
    host.now = 30_000;
    host.take({ type: "time-passed" });
    host.say(...runOf(promptId));
    expect(host.coordinator.tasks.get(taskId)?.stage.at).toBe("settled");
  });
});
