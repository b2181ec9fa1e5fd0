import { normaliseAddress } from "../comfy/addresses.ts";
import type { DeclaredServer } from "../core/facts.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { Auth, ServerDeclaration } from "../protocol/session-api.ts";

/** How requests to one server and account prove who they are. */
export interface Credentials {
  readonly headers: Readonly<Record<string, string>>;
  /** For what can carry no header: a WebSocket in a browser. */
  readonly query: { readonly name: string; readonly value: string } | undefined;
  readonly cookies: boolean;
}

/** Knows the credentials, for as long as the worker lives, and tells them to nobody but the adapters. */
export interface Accounts {
  /** The server as the core may know it: without credentials, under the host's key for address and account. */
  admit(declaration: ServerDeclaration): DeclaredServer | undefined;
  credentials(key: ServerKey): Credentials;
  url(key: ServerKey): string;
}

const none: Credentials = { headers: {}, query: undefined, cookies: false };

export function createAccounts(): Accounts {
  const known = new Map<ServerKey, { url: string; credentials: Credentials }>();
  return {
    admit({ id, url: address, auth, weight = 1, broadcastTypes = [] }) {
      const url = normaliseAddress(address);
      if (url === undefined) return undefined;
      const key = `${url} ${accountOf(auth)}` as ServerKey;
      known.set(key, { url, credentials: credentialsOf(auth) });
      return { id, key, url, weight, broadcastTypes };
    },
    credentials: (key) => known.get(key)?.credentials ?? none,
    url: (key) => known.get(key)?.url ?? "",
  };
}

/** Two accounts never share a socket; the same account spelled by two tabs does. */
function accountOf(auth: Auth | undefined): string {
  if (!auth) return "";
  if (auth.account !== undefined) return `${auth.type}:${auth.account}`;
  if (auth.type === "basic") return `basic:${auth.username}`;
  return auth.type === "cookie" ? "cookie" : `${auth.type}:${digest(auth.token)}`;
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
      return { ...none, query: { name: auth.name ?? "token", value: auth.token } };
    case "cookie":
      return { ...none, cookies: true };
    default:
      return none;
  }
}

/** FNV-1a, twice: only to tell accounts apart within this worker; it never leaves it. */
function digest(text: string): string {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (let index = 0; index < text.length; index += 1) {
    a = Math.imul(a ^ text.charCodeAt(index), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(index), 0x85ebca6b);
  }
  return (a >>> 0).toString(36) + (b >>> 0).toString(36);
}
