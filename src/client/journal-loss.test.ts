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
    expect(storage.getItem(journalLossKey("app"))?.trim()).toBe("epoch-1 epoch-2");
  });

  test("is told to the next host; what the present one was told stays", () => {
    const storage = memoryStorage();
    const [anna, ben] = pagesWith(() => storage);
    anna.note("epoch-1");
    ben.tell();
    anna.note("epoch-2");
    expect([ben.told, ben.tell(), ben.told]).toEqual(["epoch-1", "epoch-1 epoch-2", "epoch-2"]);
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

  test("can be written when the storage has become full, as no more is needed than was there before", () => {
    const storage = memoryStorage();
    let free = 1_000;
    const setItem = (key: string, value: string): void => {
      const size = value.length - (storage.getItem(key)?.length ?? 0);
      if (size > free) throw new DOMException("full", "QuotaExceededError");
      free -= size;
      storage.setItem(key, value);
    };
    const [anna, ben] = pagesWith(() => ({ ...storage, setItem }));
    expect(anna.tell()).toBeUndefined();
    free = 0;
    for (const epoch of ["epoch-1", "epoch-2"]) anna.note(epoch.padEnd(21, "-"));
    expect(ben.tell()?.split(" ")).toHaveLength(2);
  });

  test("is told by the page that could not write it, too, behind what is written", () => {
    const storage = memoryStorage([[journalLossKey("app"), "epoch-0"]]);
    const setItem = (): void => {
      throw new DOMException("full", "QuotaExceededError");
    };
    const [anna] = pagesWith(() => ({ ...storage, setItem }));
    anna.note("epoch-1");
    expect([anna.tell(), anna.told]).toEqual(["epoch-0 epoch-1", "epoch-1"]);
  });

  test("is written again, in order, by a page that knew it before the app cleared the storage", () => {
    const storage = memoryStorage();
    const [anna, ben] = pagesWith(() => storage);
    anna.note("epoch-1");
    storage.clear();
    ben.note("epoch-2");
    expect([anna.tell(), ben.tell()]).toEqual(["epoch-1 epoch-2", "epoch-1 epoch-2"]);
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
