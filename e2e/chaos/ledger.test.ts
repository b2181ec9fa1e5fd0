import { describe, expect, test } from "vitest";
import { createLedger, type ServedPrompt } from "./ledger.ts";
import { labelOf, type Told } from "./told.ts";

const label = labelOf("anna", "1");
const from = (tabId: string, page = "page") => ({ tabId, page, number: 1, at: 0 });
const ended = (
  tabId: string,
  page = "page",
  ending: "succeeded" | "failed" | "lost" = "succeeded",
  why = "",
): Told => ({ ...from(tabId, page), kind: "ended", label, taskId: "task", ending, why });
const answer = (epoch: string, askedAt: number) =>
  ({ kind: "outbox", epoch, askedAt, waiting: 0, unacknowledged: 0 }) as const;
const ran: ServedPrompt = { promptId: "prompt", startedAt: 1, ending: "success" };

/** A ledger that knows of one task of anna's, which the network brought to the server. */
function ledger(...told: readonly Told[]) {
  const one = createLedger();
  one.told({ ...from("anna"), kind: "submitting", label }, "tab 1");
  one.delivered("prompt", label);
  for (const each of told) one.told(each, each.tabId === "anna" ? "tab 1" : "tab 2");
  return one;
}

describe("a ledger", () => {
  test("finds nothing wrong with a task that ended once in each page, as the server says", () => {
    const { lost, misrouted, duplicated, unfounded, unbounded, endings } = ledger(
      ended("anna"),
      ended("anna", "reloaded"),
    ).verdict([ran]);
    expect([lost, misrouted, duplicated, unfounded, unbounded].flat()).toEqual([]);
    expect(endings).toEqual({ succeeded: 1, failed: 0, cancelled: 0, lost: 0 });
  });

  test("misses an ending", () => {
    expect(ledger().open).toEqual([label]);
    expect(ledger().verdict([ran]).lost).toEqual([`${label}: no ending`]);
  });

  test("does not expect one where no host ever had the task", () => {
    const one = createLedger();
    one.told({ ...from("anna"), kind: "submitting", label }, "tab 1");
    expect([one.open, one.verdict([]).lost]).toEqual([[], []]);
  });

  test("misses an ending that a later page does not show, unless it was dismissed", () => {
    const opened: Told = { ...from("anna", "reloaded"), kind: "opened", tasks: [] };
    expect(ledger(ended("anna"), opened).verdict([ran]).lost).toHaveLength(1);
    const dismissed: Told = { ...from("anna"), kind: "dismissed", label };
    expect(ledger(ended("anna"), dismissed, opened).verdict([ran]).lost).toEqual([]);
  });

  test("misses none whose host could not keep it, and counts it", () => {
    const unkept: Told = { ...from("anna"), kind: "unkept", label };
    const opened: Told = { ...from("anna", "reloaded"), kind: "opened", tasks: [] };
    const { lost, unkept: count } = ledger(unkept, ended("anna"), opened).verdict([ran]);
    expect([lost, count]).toEqual([[], 1]);
  });

  test.each<[string, Told]>([
    ["its ending", ended("ben")],
    ["an event of it", { ...from("ben"), kind: "arrived", taskId: "task" }],
    [
      "its snapshot",
      { ...from("ben"), kind: "opened", tasks: [{ taskId: "task", label, status: "running" }] },
    ],
  ])("sees that %s reached another tab", (_, told) => {
    expect(ledger(ended("anna"), told).verdict([ran]).misrouted).toHaveLength(1);
  });

  test("sees two tabs with one id", () => {
    const one = ledger(ended("anna"));
    one.told({ ...from("anna", "copy"), kind: "opened", tasks: [] }, "tab 2");
    expect(one.verdict([ran]).misrouted).toEqual(["tab anna is tab 1 and tab 2"]);
  });

  test("sees a second ending in one page, and another answer in the next", () => {
    expect(ledger(ended("anna"), ended("anna")).verdict([ran]).duplicated).toHaveLength(1);
    expect(ledger(ended("anna"), ended("anna", "reloaded", "lost")).verdict([ran]).duplicated).toHaveLength(
      1,
    );
  });

  test("sees a second run, and counts it apart where the network explains it", () => {
    expect(ledger(ended("anna")).verdict([ran, ran]).duplicated).toHaveLength(1);
    const one = ledger(ended("anna"));
    one.disturbed("prompt");
    const { duplicated, twins } = one.verdict([ran, ran]);
    expect([duplicated, twins.ran]).toEqual([[], 1]);
  });

  test("counts no second run where the server forgot the first one before anybody heard of it", () => {
    const runs = [1, 9].map((at) => ({ ...ran, startedAt: at, endedAt: at }));
    const secondRuns = (heardAt: number, forgotAt: number) => {
      const one = createLedger();
      one.told({ ...from("anna"), at: heardAt, kind: "accepted", label, promptId: "prompt" }, "tab 1");
      one.forgot(forgotAt);
      return one.verdict(runs).duplicated.length;
    };
    expect([secondRuns(9, 5), secondRuns(2, 5), secondRuns(9, 0.5)]).toEqual([0, 1, 1]);
  });

  test("does not believe an ending that the server does not bear out", () => {
    expect(ledger(ended("anna", "page", "lost")).verdict([ran]).unfounded).toHaveLength(1);
    expect(ledger(ended("anna")).verdict([{ ...ran, ending: "error" }]).unfounded).toHaveLength(1);
  });

  test("believes that what ran is lost where the server forgot it before anybody could ask", () => {
    const forgot = (at: number) => {
      const one = ledger(ended("anna", "page", "lost"));
      one.forgot(at);
      return one.verdict([{ ...ran, endedAt: 5 }]).unfounded;
    };
    expect([forgot(4).length, forgot(6).length]).toEqual([1, 0]);
  });

  test("believes that what was sent in vain has failed, unless the server has it", () => {
    const failed = (why: string, ...served: readonly ServedPrompt[]) => {
      const one = ledger({ ...from("anna"), kind: "submitted", label }, ended("anna", "page", "failed", why));
      one.forgot(6);
      return one.verdict(served).unfounded.length;
    };
    expect(failed("server-unreachable")).toBe(0);
    expect(failed("server-unreachable", { ...ran, endedAt: 5 }), "forgotten").toBe(0);
    expect(failed("server-unreachable", { ...ran, endedAt: 7 }), "on record").toBe(1);
    expect(failed("server-unreachable", { promptId: "prompt", startedAt: 7 }), "running").toBe(1);
    expect(failed("node-failed")).toBe(1);
  });

  test("believes that what no server ever had is not to be found, unless it was promised", () => {
    const one = createLedger();
    one.told({ ...from("anna"), kind: "submitting", label }, "tab 1");
    one.told(ended("anna", "page", "lost"), "tab 1");
    expect(one.verdict([]).unfounded).toEqual([]);
    one.told({ ...from("anna"), kind: "submitted", label }, "tab 1");
    expect(one.verdict([]).unfounded).toHaveLength(1);
  });

  test("sees a host that keeps too much for a tab", () => {
    const outbox: Told = { ...from("anna"), ...answer("a", 0), waiting: 501 };
    expect(ledger(ended("anna"), outbox).verdict([ran]).unbounded).toHaveLength(1);
  });

  test("sees a host that goes on beside its successor", () => {
    const greeted = (tabId: string, epoch: string, at: number): Told => ({
      ...from(tabId),
      at,
      kind: "host",
      epoch,
    });
    const hosts = [greeted("anna", "a", 1_000), greeted("ben", "b", 5_000), greeted("anna", "b", 6_000)];
    const until = (askedAt: number): Told => ({ ...from("anna"), at: 99_000, ...answer("a", askedAt) });
    expect(ledger(...hosts, until(7_000)).verdict([ran]).divided).toEqual([]);
    expect(ledger(...hosts, until(7_001)).verdict([ran]).divided).toEqual([
      "host a answered 2001 ms after the first page had greeted b",
    ]);
  });
});
