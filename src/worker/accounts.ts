import { normaliseAddress, type QueryCredential, queryOf } from "../comfy/addresses.ts";
import type { DeclaredServer } from "../core/facts.ts";
import { accountNamed } from "../protocol/accounts.ts";
import type { ServerKey } from "../protocol/ids.ts";
import { type Auth, defaultDepth, type ServerDeclaration } from "../protocol/session-api.ts";

/** How requests to one server and account prove who they are. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  /** For what can carry no header: a WebSocket in a browser. */
  readonly query: QueryCredential | undefined;
  readonly cookies: boolean;
}

/** Knows the credentials, for as long as the worker lives, and tells them to nobody but the adapters. */
export interface Accounts {
  /**
   * The server as the core may know it: without credentials, under the host's key for address and account.
   * What is known of an account is only replaced when it is refused: this page's may be the older ones.
   */
  admit(declaration: ServerDeclaration): DeclaredServer | undefined;
  /** The same, under new credentials; a token that names no account is of the one before. */
  renew(declaration: ServerDeclaration, before: ServerKey): Renewed | undefined;
  /** A server did not take these; what came while they were on their way may be better. */
  refused(key: ServerKey, sent: Credentials): void;
  credentials(key: ServerKey): Credentials;
  url(key: ServerKey): string;
}

/** @property account to be named in every later declaration */
export interface Renewed {
  readonly server: DeclaredServer;
  readonly account: string;
}

interface Known {
  credentials: Credentials;
  refused: boolean;
  /** What another page has declared, to be tried when these are refused. */
  spare?: Credentials | undefined;
}

export const none: Credentials = { headers: {}, query: undefined, cookies: false };

export function createAccounts(): Accounts {
  const known = new Map<ServerKey, Known>();

  function admit(
    { id, url: address, auth, weight = 1, depth = defaultDepth, broadcastTypes = [] }: ServerDeclaration,
    account: string,
    isNews: boolean,
  ): DeclaredServer | undefined {
    const url = normaliseAddress(address);
    if (url === undefined) return undefined;
    const key = `${url} ${account}` as ServerKey;
    const credentials = credentialsOf(auth);
    const one = known.get(key);
    if (isNews || !one || one.refused) known.set(key, { credentials, refused: false });
    else one.spare = credentials;
    return { id, key, url, weight, depth, broadcastTypes };
  }

  return {
    admit: (declaration) => admit(declaration, accountOf(declaration.auth), false),
    renew(declaration, before) {
      const former = before.slice(before.indexOf(" ") + 1);
      const account = (!accountNamed(declaration.auth) && former) || accountOf(declaration.auth);
      const server = admit(declaration, account, true);
      return server && { server, account };
    },
    refused(key, sent) {
      const one = known.get(key);
      if (one?.credentials !== sent) return;
      const { spare } = one;
      if (spare) one.credentials = spare;
      else one.refused = true;
      one.spare = undefined;
    },
    credentials: (key) => known.get(key)?.credentials ?? none,
    // Also of one that no page of this host has named: its tasks came out of the journal.
    url: (key) => key.slice(0, key.indexOf(" ")),
  };
}

/** Two accounts never share a socket; the same account spelled by two tabs does. */
function accountOf(auth: Auth | undefined): string {
  if (!auth) return "";
  // Without a user name, a password still is another account than none.
  return accountNamed(auth) || `#${auth.type}${"token" in auth ? digest(auth.token) : ""}`;
}

function credentialsOf(auth: Auth | undefined): Credentials {
  switch (auth?.type) {
    case "basic": {
      const bytes = new TextEncoder().encode(`${auth.username}:${auth.password}`);
      return { ...none, headers: { Authorization: `Basic ${btoa(String.fromCharCode(...bytes))}` } };
    }
    case "bearer":
      return { ...none, headers: { Authorization: `Bearer ${auth.token}` } };
    case "query":
      return { ...none, query: queryOf(auth) };
    case "cookie":
      return { ...none, cookies: true };
    default:
      return none;
  }
}

/** FNV-1a, twice: only to tell accounts apart. It is in the journal, and with the tab that renews its token. */
function digest(text: string): string {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (let index = 0; index < text.length; index += 1) {
    a = Math.imul(a ^ text.charCodeAt(index), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(index), 0x85ebca6b);
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36);
}
