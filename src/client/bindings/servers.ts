import type { ServerSnapshot } from "../../protocol/session-api.ts";
import type { Session } from "../api.ts";
import { createStore, type Store } from "./store.ts";

/** What changes a server's snapshot. A new host tells of all servers in its welcome. */
const news = ["connection", "queue", "lock", "mode"] as const;

export const serversStore = (session: Session | undefined): Store<readonly ServerSnapshot[]> =>
  createStore(
    () => session?.servers() ?? [],
    (changed) => {
      const ends: (() => void)[] = [];
      try {
        if (session) for (const type of news) ends.push(session.on(type, changed));
      } catch {
        // It is closed: a component that the app still shows is not to fail for it.
      }
      return () => {
        for (const end of ends) end();
      };
    },
  );
