import type { Tab } from "./state.ts";

/** A tab that has just become known, by its page or by the journal. */
export const newTab = (tabId: string, secret: string): Tab => ({
  tabId,
  secret,
  ports: new Set(),
  servers: new Map(),
  lastTurn: 0,
  lastServer: undefined,
  claiming: 0,
  heldWrites: [],
});
