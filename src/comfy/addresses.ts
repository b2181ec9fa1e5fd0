/**
 * A server's address in the one spelling that counts: http or https, host in lower case, no default port, no
 * trailing slash, no query, no credentials; a path prefix stays. Undefined if it is no address.
 */
export function normaliseAddress(address: string): string | undefined {
  const spelled = address
    .trim()
    // Without the flag `i`, with which this takes long to compile: every new tab comes by here.
    .replace(/^(?![\w+.-]+:\/\/)/, "http://")
    .replace(/^ws/i, "http");
  if (!/^https?:\/\/[^/?#]/i.test(spelled)) return undefined;
  try {
    // Of http and https, an address without host does not parse.
    const { protocol, host, pathname } = new URL(spelled);
    return `${protocol}//${host}${pathname.replace(/\/+$/, "")}`;
  } catch {
    return undefined;
  }
}

/**
 * One part of a path or a query. Python makes lone surrogates of file names that are not UTF-8, and
 * `encodeURIComponent` throws at them.
 */
export const encodePart = (text: string): string =>
  encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"));

export const httpAddress = (base: string, path: string): string => base + path;

/** A credential that can travel no other way: a WebSocket in a browser sends no headers. */
export interface QueryCredential {
  readonly name: string;
  readonly value: string;
}

export const queryOf = ({ name = "token", token }: { name?: string; token: string }): QueryCredential => ({
  name,
  value: token,
});

export function withQuery(address: string, query: QueryCredential | undefined): string {
  if (!query) return address;
  const joint = address.includes("?") ? "&" : "?";
  return `${address}${joint}${encodePart(query.name)}=${encodePart(query.value)}`;
}

export const socketAddress = (base: string, clientId: string, query?: QueryCredential): string =>
  withQuery(`${base.replace(/^http/, "ws")}/ws?clientId=${encodePart(clientId)}`, query);

/** How far away an address is, as far as its spelling tells: a name may lead anywhere. */
export function addressSpace(address: string): "loopback" | "local" | "public" {
  const { hostname } = new URL(address);
  if (/^(.+\.)?localhost$|^127\.|^\[::1\]$/.test(hostname)) return "loopback";
  return /^(10|192\.168|169\.254|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\.[\d.]+$|^\[f([cd]|e[89ab])|\.(local|lan|internal|home\.arpa)$|^[^.[]+$/.test(
    hostname,
  )
    ? "local"
    : "public";
}
