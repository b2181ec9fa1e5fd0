import { describe, expect, test } from "vitest";
import { contract, newEntry } from "./journal-contract.ts";
import { memoryJournal } from "./memory.ts";

describe("a journal in memory", () => {
  test.each(contract.filter(({ durable }) => !durable))("$says", ({ check }) => check(memoryJournal));

  test("is bounded: beyond 5000 tasks the oldest settled ones go, and no open one", async () => {
    const journal = memoryJournal();
    await journal.write(newEntry({ taskId: "open" }), true);
    for (let number = 1; number <= 5010; number += 1)
      await journal.write(newEntry({ taskId: `${number}`, settledAt: number, createdAt: number }), true);
    const left = await journal.claim("tab-anna", "secret-anna");
    expect(left).toHaveLength(5000);
    const names = left.map(({ taskId }) => taskId);
    expect(names).toContain("open");
    expect([names[0], names.at(-1)]).toEqual(["12", "5010"]);
  });
});
