/**
 * An option of the package's own, by which `compat` connects before the app has named a server. A registered symbol,
 * because the two are bundles of their own.
 */
export const serversLater = Symbol.for("comfy-tabs/servers-later");
