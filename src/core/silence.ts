import type { PortKey } from "./facts.ts";
import type { Coordinator, Port } from "./state.ts";

/**
 * Rounds of a minute in which a page may be silent; in the back/forward cache no browser keeps one for longer. A page
 * without a Web Lock calls every half minute, every minute where it is hidden. Rounds in a row, not time: a computer that
 * slept, or a host that was held up, has missed one.
 */
const patience = { awake: 5, suspended: 30 };

/** A sign of life. */
export function heard(c: Coordinator, key: PortKey): void {
  const port = c.ports.get(key);
  if (port) port.silentRounds = Math.min(port.silentRounds, 0);
}

/** A round is over. @returns the pages that count as gone: crashed, or frozen for long, nobody can tell which */
export const silentPages = (c: Coordinator): Port[] =>
  [...c.ports.values()].filter((port) => {
    port.silentRounds += 1;
    return port.silentRounds > (port.suspended ? patience.suspended : patience.awake);
  });
