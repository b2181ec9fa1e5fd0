import type { DeclaredServer } from "../core/facts.ts";
import type { Dice } from "./dice.ts";
import { keyOf, type Site } from "./network-model.ts";

/** What the app of one tab knows by itself, whatever happens to its pages: its servers, and who it is there. */
export interface App {
  /** In the order in which it names them. */
  readonly servers: readonly Site[];
  /** So many of them it names at once, the others some time later. */
  readonly namedFirst: number;
  /** By address. */
  readonly accounts: Map<string, string>;
  /** Who somebody is who signs in there. */
  someone(url: string, dice: Dice): string;
}

/** Nobody in particular, and two who are asked who they are. */
const accounts = ["", "alice", "bob"];

export interface AppVariety {
  /** Default: everybody is nobody in particular. */
  readonly hasAccounts?: boolean;
  /** Default: all servers are named at once. */
  readonly namesLater?: boolean;
}

export function createApp(sites: readonly Site[], dice: Dice, { hasAccounts, namesLater }: AppVariety): App {
  const anyone = (): string => (hasAccounts ? dice.pick(accounts)! : "");
  const app: App = {
    servers: sites,
    namedFirst: namesLater ? dice.whole(1, sites.length) : sites.length,
    accounts: new Map(sites.map(({ url }) => [url, anyone()])),
    // Mostly who they were.
    someone: (url, dice) => (hasAccounts && dice.chance(0.3) ? dice.pick(accounts)! : accountAt(app, url)),
  };
  return app;
}

const accountAt = ({ accounts }: Pick<App, "accounts">, url: string): string => accounts.get(url) ?? "";

/** Only of the first one they are wanted. */
export const newsType = "world_news";

/** A server as its host's core knows it. It is known to the app by its address. */
export function declared(
  { servers, accounts }: Pick<App, "servers" | "accounts">,
  url: string,
): DeclaredServer {
  const isFirst = servers[0]?.url === url;
  return {
    id: url,
    key: keyOf(url, accountAt({ accounts }, url)),
    url,
    weight: isFirst ? 1 : 2,
    depth: isFirst ? 4 : 2,
    broadcastTypes: isFirst ? [newsType] : [],
  };
}
