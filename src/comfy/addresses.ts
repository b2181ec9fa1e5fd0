/**
 * A server's address in the one spelling that counts: http or https, host in lower case, no default port, no
 * trailing slash, no query, no credentials; a path prefix stays. Undefined if it is no address.
 */
export function normaliseAddress(address: string): string | undefined {
  const trimmed = address.trim();
  const schemed = /^[a-z][a-z\d+.-]*:\/\//i.test(trimmed) ? trimmed : `http://${trimmed}`;
  const spelled = schemed.replace(/^ws(s?):/i, "http$1:");
  if (!/^https?:\/\/[^/?#]/i.test(spelled)) return undefined;
  try {
    const { protocol, host, pathname } = new URL(spelled);
    return host === "" ? undefined : `${protocol}//${host}${pathname.replace(/\/+$/, "")}`;
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

/** @param query a credential that can travel no other way: a WebSocket in a browser sends no headers */
export function socketAddress(
  base: string,
  clientId: string,
  query?: { name: string; value: string },
): string {
  const extra = query ? `&${encodePart(query.name)}=${encodePart(query.value)}` : "";
  return `${base.replace(/^http/, "ws")}/ws?clientId=${encodePart(clientId)}${extra}`;
}
