import type { Epoch, PortId, TabId } from "./ids.ts";
import { protocolVersion } from "./version.ts";

// Only a worker and what belongs to it carries the protocol's major version. Who a tab is, which host lives, and
// what is journalled outlives a new version: with a reload into it, a tab takes its tasks along.
const versioned = `comfy-tabs/${protocolVersion.major}`;

/**
 * The SharedWorker's name. It holds what decides whether two tabs may share a host, never the server list.
 *
 * @param generation counts up when a worker hangs, which blocks its name
 */
export const workerName = (name: string, generation = 1): string =>
  // A name that ends like a generation is not one.
  `${versioned}/${name.replace(/[#%]/g, encodeURIComponent)}${generation === 1 ? "" : `#${generation}`}`;

/**
 * The names of the generations before that worker's. Each is also a lock, which the shared hosts of a generation hold
 * together until one of a later generation takes it from them for good.
 */
export const formerWorkerNames = (worker: string): string[] =>
  Array.from({ length: Number(/#(\d+)$/.exec(worker)?.[1] ?? 1) - 1 }, (_, index) =>
    workerName(appName(worker), index + 1),
  );

/** Where the tabs of an origin keep the generation (`localStorage`). */
export const generationKey = (name: string): string => `${versioned}/generation/${name}`;

/** Held by a host for as long as it lives: granted to anybody else, it says that the host is gone. */
export const hostLock = (epoch: Epoch): string => `comfy-tabs/host/${epoch}`;

/** Held by a tab for as long as its port is alive. */
export const tabLock = (portId: PortId): string => `comfy-tabs/tab/${portId}`;

/** Held by the one page that may call itself `tabId`: a duplicated tab copies the id, but not the lock. */
export const identityLock = (name: string, tabId: TabId): string => `comfy-tabs/identity/${name}/${tabId}`;

/** Where the tabs of an origin note which hosts' journals have failed (`localStorage`). */
export const journalLossKey = (name: string): string => `comfy-tabs/journal-loss/${name}`;

/** Where a tab keeps who it is across reloads (`sessionStorage`). */
export const identityKey = (name: string): string => `comfy-tabs/identity/${name}`;

/** Counts what the journal's entries mean. A newer worker leaves the older one's database alone. */
const journalSchema = 2;

/** The database in which hosts with that worker name (`self.name`) journal, one generation after another. */
export const journalName = (worker: string): string =>
  `comfy-tabs/${appName(worker)}/journal/${journalSchema}`;

/** The `name` that an app gave to `connect`, of a worker's. */
export const appName = (worker: string): string =>
  worker.replace(/^comfy-tabs\/\d+\/|#\d+$/g, "").replace(/%2[35]/g, decodeURIComponent);
