import type { HostPort, WorkerSource } from "../platform.ts";
import { failureOf } from "./failure.ts";

/** The same worker file for this tab alone: own sockets, own client ids, isolated by construction. */
export function soloHost(source: WorkerSource, name: string): HostPort {
  const worker = makeWorker(source, name);
  const { port1, port2 } = new MessageChannel();
  worker.postMessage({ comfyTabs: "connect" }, [port2]);
  return { port: port1, failed: failureOf(worker), close: () => worker.terminate() };
}

function makeWorker(source: WorkerSource, name: string): Worker {
  if (typeof source === "function") return source("dedicated", name) as Worker;
  if (source !== undefined) return new Worker(source, { type: "module", name });
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module", name });
}
