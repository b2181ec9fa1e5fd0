import type { HostPort, WorkerSource } from "../platform.ts";
import { failureOf } from "./failure.ts";

/** One worker for all tabs of the origin that use this name. */
export function sharedHost(source: WorkerSource, name: string): HostPort {
  const worker = makeWorker(source, name);
  return { port: worker.port, failed: failureOf(worker), close: () => worker.port.close() };
}

function makeWorker(source: WorkerSource, name: string): SharedWorker {
  if (typeof source === "function") return source("shared", name) as SharedWorker;
  // All tabs have to pass the same options: a tab that differs gets only an `error` event.
  if (source !== undefined)
    return new SharedWorker(source, { type: "module", name, extendedLifetime: true } as WorkerOptions);
  // Literal, because bundlers look for exactly this form. `name` is a variable, because webpack would make a
  // chunk of a literal one.
  return new SharedWorker(new URL("./worker.js", import.meta.url), {
    type: "module",
    name,
    extendedLifetime: true,
  } as WorkerOptions);
}
