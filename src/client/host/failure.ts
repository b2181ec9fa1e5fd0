/** Rejects when the worker cannot be loaded, and settles in no other way. */
export function failureOf(worker: EventTarget): Promise<never> {
  const failed = new Promise<never>((_, reject) => {
    worker.addEventListener("error", () => reject(new Error("the worker could not be loaded")));
  });
  failed.catch(() => {}); // told to whoever races it; nobody may be left
  return failed;
}
