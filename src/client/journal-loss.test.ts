import { describe, expect, test } from "vitest";
import { journalLossKey } from "../protocol/names.ts";
import { createJournalLoss } from "./journal-loss.ts";
import { memoryStorage } from "./testing/storage.ts";

describe("the note of journals that have failed", () => {
  const pagesWith = (storage: () => Storage) =>
    [0, 1].map(() => createJournalLoss({ sharedStorage: storage } as never, "app")) as [
      ReturnType<typeof createJournalLoss>,
      ReturnType<typeof createJournalLoss>,
    ];

  test("is one for all pages, the last host at the end, each once", () => {
    const storage = memoryStorage();
    const [anna, ben] = pagesWith(() => storage);
    expect(anna.tell()).toBeUndefined();
    anna.note("epoch-1");
    ben.note("epoch-2");
    anna.note("epoch-1");
    expect([anna.tell(), ben.tell()]).toEqual(["epoch-1 epoch-2", "epoch-1 epoch-2"]);
    expect(storage.getItem(journalLossKey("app"))).toBe("epoch-1 epoch-2");
  });

  test("is told to the next host; what the present one was told stays", () => {
    const storage = memoryStorage();
    const [anna, ben] = pagesWith(() => storage);
    anna.note("epoch-1");
    ben.tell();
    anna.note("epoch-2");
    expect(ben.told).toBe("epoch-1");
  });

  test("forgets the hosts of long ago, and stays as short as a hello takes it", () => {
    const storage = memoryStorage();
    const [anna] = pagesWith(() => storage);
    const epochs = Array.from(
      { length: 40 },
      (_, index) => `epoch-of-21-letters-${String(index).padStart(2)}`,
    );
    for (const epoch of epochs) anna.note(epoch.replaceAll(" ", "0"));
    expect(anna.tell()?.split(" ")).toHaveLength(16);
    expect(anna.tell()?.endsWith("39")).toBe(true);
    expect(anna.tell()?.length).toBeLessThanOrEqual(500);
  });

  test("lives as long as the page where the storage is denied", () => {
    const [anna] = pagesWith(() => {
      throw new Error("denied");
    });
    anna.note("epoch-1");
    anna.note("epoch-2");
    expect(anna.tell()).toBe("epoch-1 epoch-2");
  });
});
