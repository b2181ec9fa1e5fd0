import { BoundedMailbox, hostEventKey, previewBytes } from "../protocol/mailbox.ts";
import type { Answer, HostEvent } from "../protocol/session-api.ts";
import type { CallKey, PortKey } from "./facts.ts";
import type { Coordinator, Port } from "./state.ts";

/** How much may be on its way to a tab that has not acknowledged it. Beyond, news is coalesced. */
export const deliveryWindow = { batches: 32, bytes: 8 * 1024 * 1024 } as const;
/** Custom messages and previews that wait for a tab that does not read: the oldest go first. */
const waitingLimit = { message: 4096, messageBytes: 8 * 1024 * 1024, preview: 8 } as const;

export const newOutbox = (): BoundedMailbox<HostEvent> =>
  new BoundedMailbox(hostEventKey, (event) => {
    if (event.kind === "message") return { kind: "message", limit: waitingLimit.message };
    if (event.kind === "task" && event.event.type === "preview")
      return { kind: "preview", limit: waitingLimit.preview };
    return undefined;
  });

/** Puts an event into a port's outbox. It leaves at the end of the step, or with the next batch. */
export function deliver(c: Coordinator, port: Port, event: HostEvent): void {
  port.outbox.put(event);
  c.touchedPorts.add(port);
}

/** A custom message, which may be as large as a node likes. */
export function deliverMessage(
  c: Coordinator,
  port: Port,
  message: Omit<Extract<HostEvent, { kind: "message" }>, "kind" | "number">,
  bytes: number,
): void {
  port.lastMessage += 1;
  port.messageBytes += bytes;
  if (port.messageBytes > waitingLimit.messageBytes) {
    port.outbox.drop(({ kind }) => kind === "message");
    port.messageBytes = bytes;
  }
  deliver(c, port, { kind: "message", number: port.lastMessage, ...message });
}

/**
 * Answers a call, after everything that was decided before it: an answer that overtook the events would
 * let `cancel()` resolve while the task still looks running.
 */
export function answer(c: Coordinator, call: CallKey, result: Answer<unknown>): void {
  const key = c.calls.get(call);
  if (key === undefined) return;
  c.calls.delete(call);
  flushBeforeAnswer(c, key);
  c.effects.push({ do: "answer", call, answer: result });
}

/** What waits for this port goes now, before an answer. */
export function flushBeforeAnswer(c: Coordinator, key: PortKey): void {
  const port = c.ports.get(key);
  if (port && !port.suspended) postBatch(c, port);
}

/** The first event goes at once; what comes until the tick is back goes as one batch. */
export function flushTouchedPorts(c: Coordinator): void {
  for (const port of c.touchedPorts) {
    if (!port.gathering && mayPost(port)) {
      postBatch(c, port);
      gather(c, port);
    }
  }
  c.touchedPorts.clear();
}

export function portTicked(c: Coordinator, key: PortKey): void {
  const port = c.ports.get(key);
  if (!port) return;
  port.gathering = false;
  if (port.outbox.size > 0 && mayPost(port)) {
    postBatch(c, port);
    gather(c, port);
  }
}

export function portAcknowledged(c: Coordinator, key: PortKey, batch: number): void {
  const port = c.ports.get(key);
  if (!port) return;
  // A batch that was never sent acknowledges nothing: the window is the host's, not the tab's.
  if (batch > port.lastBatch) return;
  while (port.flying[0] && port.flying[0].batch <= batch) port.flying.shift();
  if (port.outbox.size > 0) c.touchedPorts.add(port);
}

export function portSuspended(c: Coordinator, key: PortKey): void {
  const page = c.ports.get(key) ?? c.arriving.get(key);
  if (page) page.suspended = true;
}

export function portResumed(c: Coordinator, key: PortKey): void {
  const page = c.arriving.get(key);
  if (page) page.suspended = false;
  const port = c.ports.get(key);
  if (!port) return;
  port.suspended = false;
  if (port.outbox.size > 0) c.touchedPorts.add(port);
}

function mayPost(port: Port): boolean {
  if (port.suspended || port.flying.length >= deliveryWindow.batches) return false;
  let bytes = 0;
  for (const flight of port.flying) bytes += flight.bytes;
  return bytes < deliveryWindow.bytes;
}

function postBatch(c: Coordinator, port: Port): void {
  const events = port.outbox.drain();
  port.messageBytes = 0;
  if (events.length === 0) return;
  port.lastBatch += 1;
  port.flying.push({ batch: port.lastBatch, bytes: previewBytes(events) });
  c.effects.push({ do: "post-batch", port: port.key, batch: port.lastBatch, events });
}

function gather(c: Coordinator, port: Port): void {
  port.gathering = true;
  c.effects.push({ do: "request-tick", port: port.key });
}
