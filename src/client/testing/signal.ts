import { getEventListeners } from "node:events";

/** A signal that tells how many listen to it. */
export function countedSignal() {
  const controller = new AbortController();
  const { signal } = controller;
  return {
    signal,
    abort: () => controller.abort(),
    listening: () => getEventListeners(signal, "abort").length,
  };
}
