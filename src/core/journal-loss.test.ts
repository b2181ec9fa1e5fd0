import { describe, expect, test } from "vitest";
import { type JournalModel, journalModel } from "../world/journal-model.ts";
import { comfy, declared, nobodyKnows, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";
import type { DeclaredServer } from "./facts.ts";

const posts = (host: ScriptedHost) => host.pending("/prompt").filter(({ method }) => method === "POST");
const fail = (host: ScriptedHost) => host.take({ type: "journal-degraded", reason: "full" });

describe("a host whose journal has failed", () => {
  function degraded() {
    const host = scriptedHost({ journalKind: "indexeddb" });
    const [anna, ben] = [host.tab("anna"), host.tab("ben")];
    host.openSocket();
    fail(host);
    return { host, anna, ben };
  }

  test("sends nothing before a page has noted that, and then what has waited, whosever it is", () => {
    const { host, anna, ben } = degraded();
    const { answer, promptId } = anna.submit("portrait");
    expect(answer).toMatchObject({ ok: { status: "submitting" } });
    host.pass(60_000);
    expect(posts(host)).toEqual([]);
    host.take({ type: "tab-noted", port: ben.port });
    expect(posts(host).map(({ body }) => JSON.parse(body ?? "").prompt_id)).toEqual([promptId]);
    ben.submit("landscape");
    expect(posts(host)).toHaveLength(2);
  });

  test("does not send what it was about to write when it failed", () => {
    const host = scriptedHost({ journalKind: "indexeddb" });
    const anna = host.tab("anna");
    host.openSocket();
    host.holdJournal();
    anna.submit("portrait");
    fail(host);
    host.releaseJournal();
    expect(posts(host)).toEqual([]);
    host.take({ type: "tab-noted", port: anna.port });
    expect(posts(host)).toHaveLength(1);
  });

  test("cancels at once what has waited for that", () => {
    const { host, anna } = degraded();
    const { taskId } = anna.submit("portrait");
    anna.call({ method: "cancel", taskId });
    expect(anna.heard(taskId).at(-1)).toBe("cancelled");
    host.take({ type: "tab-noted", port: anna.port });
    expect(posts(host)).toEqual([]);
  });

  test("does not take for that what an earlier host was told, behind the same port", () => {
    const host = scriptedHost({ journalKind: "indexeddb" });
    const anna = host.tab("anna");
    host.openSocket();
    host.take({ type: "tab-noted", port: anna.port });
    fail(host);
    anna.submit("portrait");
    expect(posts(host)).toEqual([]);
  });

  test("does not wait for pages that cannot note it, as long as there are no others", () => {
    const host = scriptedHost({ journalKind: "indexeddb" });
    const old = host.tab("old", { notes: false });
    host.openSocket();
    fail(host);
    old.submit("portrait");
    expect(posts(host)).toHaveLength(1);
    host.tab("ben").submit("landscape");
    expect(posts(host)).toHaveLength(1);
  });

  test("does not doubt what it has itself when the page comes back with that note", () => {
    const { host, anna } = degraded();
    host.take({ type: "tab-noted", port: anna.port });
    host.closeSocket();
    const { taskId } = anna.submit("portrait");
    host.take({ type: "tab-gone", port: anna.port });
    host.tab("anna", { losses: "epoch-1" });
    host.pass(5_000);
    host.openSocket();
    expect(posts(host)).toHaveLength(1);
    expect(host.coordinator.tasks.get(taskId)?.adopted).toBe(false);
  });
});

describe("a host that hears which host's journal has failed before it", () => {
  /** What a host leaves in the journal that knows of that loss. */
  function left(losses?: string) {
    const journal = journalModel();
    const host = scriptedHost({ journal, journalKind: "indexeddb" });
    host.tab("anna", losses === undefined ? {} : { losses }).submit("portrait", { cancelAfterMs: 600_000 });
    return journal;
  }

  function next(journal: JournalModel, losses: string, epoch = "epoch-2") {
    const host = scriptedHost({ journal, journalKind: "indexeddb", epoch });
    const anna = host.tab("anna", { losses });
    host.openSocket();
    return { host, anna };
  }

  test("looks for what is unsent in the journal since before then, and sends it once nobody knows it for a minute", () => {
    const { host } = next(left(), "epoch-1");
    nobodyKnows(host, 59_000);
    expect(posts(host)).toEqual([]);
    nobodyKnows(host, 15_000);
    expect(posts(host)).toHaveLength(1);
  });

  test("does so also where one host after the other dies over it", () => {
    const journal = left();
    const { host, anna } = next(journal, "epoch-1");
    nobodyKnows(host, 30_000);
    host.take({ type: "tab-gone", port: anna.port });
    expect([...journal.entries.values()]).toMatchObject([{ cancelAt: expect.any(Number) }]);
    const { host: third } = next(journal, "epoch-1", "epoch-3");
    nobodyKnows(third, 59_000);
    expect(posts(third)).toEqual([]);
  });

  test("sends at once what was journalled when that was known", () => {
    expect(posts(next(left("epoch-0"), "epoch-0").host)).toHaveLength(1);
  });

  test.each([
    ["before that is looked for first", {}, 0],
    ["since then is journalled and sent", { lastLoss: "epoch-1" }, 1],
  ])("a call to submit from %s", (_, known, sent) => {
    const host = scriptedHost({ journalKind: "indexeddb", epoch: "epoch-2" });
    const { taskId, promptId } = scriptedHost().tab("emil").submit("portrait");
    const tasks = [{ taskId, promptId, lastSeq: 0, settled: false, ...known }];
    const emil = host.tab("emil", { losses: "epoch-1", tasks });
    host.openSocket(comfy);
    emil.submit("portrait");
    nobodyKnows(host, 59_000);
    expect(posts(host)).toHaveLength(sent);
  });

  const other = declared("http://other.test");
  const asked = (host: ScriptedHost, server: DeclaredServer) =>
    host.effects.some((one) => one.do === "request" && one.server === server.key && one.path === "/queue");

  test.each([
    ["the first ones", []],
    ["more of them", [comfy]],
  ])("looks at servers, too, that its page names a moment later: %s", (_, servers) => {
    const host = scriptedHost({ journal: left(), journalKind: "indexeddb", epoch: "epoch-2" });
    const anna = host.tab("anna", { losses: "epoch-1", servers });
    anna.call({ method: "addServers", servers: [other] });
    for (const server of [...servers, other]) host.openSocket(server);
    nobodyKnows(host, 55_000);
    expect([posts(host), asked(host, other)]).toEqual([[], true]);
    nobodyKnows(host, 70_000);
    expect(posts(host)).toHaveLength(1);
  });

  test("looks at the one server where it may be when a later page of the tab names that", () => {
    const journal = journalModel();
    const first = scriptedHost({ journal, journalKind: "indexeddb" });
    first.tab("anna", { servers: [comfy, other] }).submit("portrait", { server: other.id });
    const host = scriptedHost({ journal, journalKind: "indexeddb", epoch: "epoch-2" });
    for (let visit = 1; visit <= 2; visit += 1) {
      const anna = host.tab("anna", { losses: "epoch-1" });
      host.take({ type: "tab-gone", port: anna.port });
    }
    host.tab("anna", { losses: "epoch-1", servers: [comfy, other] });
    host.openSocket(other);
    nobodyKnows(host, 55_000);
    expect([posts(host), asked(host, other)]).toEqual([[], true]);
  });

  test("counts what any page has told, whatever the next one has read", () => {
    const host = scriptedHost({ journal: left("epoch-0"), journalKind: "indexeddb", epoch: "epoch-2" });
    host.tab("ben", { losses: "epoch-0 epoch-1" });
    host.tab("anna", { losses: "epoch-0" });
    host.openSocket();
    nobodyKnows(host, 50_000);
    expect(posts(host)).toEqual([]);
  });

  test("never sends what was sent twice, nor, once it has looked for it, is it old for the host after it", () => {
    const journal = left();
    const { host } = next(journal, "epoch-1");
    nobodyKnows(host, 75_000);
    const [entry] = journal.entries.values();
    expect(entry).toMatchObject({ posts: 1, lastLoss: "epoch-1" });
    if (entry) journal.entries.set(entry.taskId, { ...entry, posts: 2, lastLoss: undefined });
    const third = next(journal, "epoch-1", "epoch-3");
    nobodyKnows(third.host, 75_000);
    expect(posts(third.host)).toEqual([]);
    expect(third.anna.heard().at(-1)).toBe("failed");
  });

  test("writes down at once that a task has ended, which it has to find again: it is not to be sent", () => {
    const journal = left();
    const host = scriptedHost({ journal, journalKind: "indexeddb", epoch: "epoch-2" });
    const known = { taskId: "task-portrait", lastSeq: 9, settled: true };
    host.tab("anna", { losses: "epoch-1", tasks: [known] });
    expect([...journal.entries.values()]).toMatchObject([{ workflow: undefined }]);
    const third = next(journal, "epoch-1", "epoch-3");
    nobodyKnows(third.host, 75_000);
    expect(posts(third.host)).toEqual([]);
  });
});
