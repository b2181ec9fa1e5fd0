/** `sessionStorage` of one tab. */
export function memoryStorage(entries: Iterable<[string, string]> = []): Storage {
  const items = new Map(entries);
  return {
    get length() {
      return items.size;
    },
    clear: () => items.clear(),
    getItem: (key) => items.get(key) ?? null,
    key: (place) => [...items.keys()][place] ?? null,
    removeItem: (key) => void items.delete(key),
    setItem: (key, value) => void items.set(key, value),
  };
}

/** What "Duplicate tab" does with it. */
export const copyOf = (storage: Storage): Storage =>
  memoryStorage(
    Array.from({ length: storage.length }, (_, place) => storage.key(place) ?? "").map((key) => [
      key,
      storage.getItem(key) ?? "",
    ]),
  );
