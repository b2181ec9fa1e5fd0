import { describe, expect, test } from "vitest";
import { type JournalModel, journalModel } from "../world/journal-model.ts";
import { comfy, type ScriptedHost, scriptedHost } from "../world/scripted-host.ts";

const posts = (host: ScriptedHost) => host.pending("/prompt").filter(({ method }) => method === "POST");
const fail = (host: ScriptedHost) => host.take({ type: "journal-degraded", reason: "full" });

/** For so long each look-up finds nothing. */
function nobodyKnows(host: ScriptedHost, ms: number): void {
  for (const until = host.now + ms; host.now < until; host.pass(500)) {
    while (host.pending("/queue").length > 0) host.reply("/queue", { queue_running: [], queue_pending: [] });
    while (host.pending(/^\/history/).length > 0) host.reply(/^\/history/, {});
  }
}

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

  test("does not doubt what it has itself when the page comes back with that note", () => {
    const { host, anna } = degraded();
    host.take({ type: "tab-noted", port: anna.port });
    host.closeSocket();
    const { taskId } = anna.submit("portrait");
    host.take({ type: "tab-gone", port: anna.port });
    host.tab("anna", { journalLoss: "epoch-1" });
    host.pass(5_000);
    host.openSocket();
    expect(posts(host)).toHaveLength(1);
    expect(host.coordinator.tasks.get(taskId)?.adopted).toBe(false);
  });
});

describe("a host that hears which host's journal has failed before it", () => {
  /** What a host leaves in the journal that knows of that loss. */
  function left(journalLoss?: string) {
    const journal = journalModel();
    const host = scriptedHost({ journal, journalKind: "indexeddb" });
    host
      .tab("anna", journalLoss === undefined ? {} : { journalLoss })
      .submit("portrait", { cancelAfterMs: 600_000 });
    return journal;
  }

  function next(journal: JournalModel, journalLoss: string, epoch = "epoch-2") {
    const host = scriptedHost({ journal, journalKind: "indexeddb", epoch });
    const anna = host.tab("anna", { journalLoss });
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
    ["since then is journalled and sent", { journalLoss: "epoch-1" }, 1],
  ])("a call to submit from %s", (_, known, sent) => {
    const host = scriptedHost({ journalKind: "indexeddb", epoch: "epoch-2" });
    const { taskId, promptId } = scriptedHost().tab("emil").submit("portrait");
    const tasks = [{ taskId, promptId, lastSeq: 0, settled: false, ...known }];
    const emil = host.tab("emil", { journalLoss: "epoch-1", tasks });
    host.openSocket(comfy);
    emil.submit("portrait");
    nobodyKnows(host, 59_000);
    expect(posts(host)).toHaveLength(sent);
  });
});
