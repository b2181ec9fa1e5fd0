import { expose } from "comlink";
import type { PortKey, TabRequest } from "../core/facts.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import type { PortId } from "../protocol/ids.ts";
import { tabLock } from "../protocol/names.ts";
import type { Answer, SessionApi, TabEnvelope } from "../protocol/session-api.ts";
import { protocolVersion } from "../protocol/version.ts";
import type { Accounts } from "./accounts.ts";
import { filteringEndpoint, type PortLike } from "./endpoint.ts";
import {
  BadField,
  readFileRequest,
  readHello,
  readId,
  readRegistration,
  readServers,
  readSubmission,
  readUpload,
} from "./requests.ts";
import type { Runtime } from "./runtime.ts";
import type { Transfers } from "./transfers.ts";

/** The part of `navigator.locks` that is used. */
export interface LocksLike {
  request(name: string, granted: () => void | Promise<void>): Promise<unknown>;
}

export interface PortMeans {
  readonly runtime: Runtime;
  readonly accounts: Accounts;
  readonly transfers: Transfers;
  readonly locks: LocksLike | undefined;
}

/** Serves one port: everything a tab can reach hangs on this one facade, which knows whose port it is. */
export function servePort(key: PortKey, port: PortLike, means: PortMeans): void {
  const { runtime } = means;
  runtime.addPort(key, (message, transfer) => port.postMessage(message, transfer));
  const endpoint = filteringEndpoint(port, (envelope) => takeEnvelope(runtime, key, envelope));
  expose(sessionFacade(key, means), endpoint);
}

function takeEnvelope(runtime: Runtime, port: PortKey, envelope: TabEnvelope): void {
  switch (envelope.comfyTabs) {
    case "ack":
      runtime.tell({ type: "tab-acknowledged", port, batch: envelope.batch });
      return;
    case "suspend":
      runtime.tell({ type: "tab-suspended", port });
      return;
    case "resume":
      runtime.tell({ type: "tab-resumed", port });
      return;
    case "goodbye":
      runtime.tell({ type: "tab-gone", port });
      runtime.removePort(port);
  }
}

/** The methods of one port, and nothing else: no prototype to climb, nothing to write to. */
function sessionFacade(port: PortKey, { runtime, accounts, transfers, locks }: PortMeans): SessionApi<Blob> {
  let greeted = false;

  const call = <T>(request: () => TabRequest): Promise<Answer<T>> =>
    checked(() => runtime.call((own) => ({ type: "tab-called", port, call: own, request: request() })));

  const admit = (declaration: Parameters<Accounts["admit"]>[0]) => {
    const server = accounts.admit(declaration);
    if (!server) throw new BadField("servers");
    return server;
  };

  const facade: SessionApi<Blob> = {
    hello: (json) =>
      checked(() => {
        const hello = readHello(json);
        const { major, minor } = hello.protocol;
        if (major !== protocolVersion.major) {
          const ours = `${protocolVersion.major}.${protocolVersion.minor}`;
          const theirs = `${major}.${minor}`;
          const message = `This host speaks protocol ${ours}, the tab ${theirs}.`;
          return Promise.resolve({ error: wireError("version-mismatch", message, { ours, theirs }) });
        }
        if (greeted) throw new BadField("hello");
        greeted = true;
        if (hello.hasLock && locks) {
          // Queued before anything else of this port is handled, never waited for: its grant is the death notice.
          void locks.request(tabLock(hello.portId as PortId), () => {
            runtime.tell({ type: "tab-gone", port });
            runtime.removePort(port);
          });
        }
        const { tabId, tabSecret, windowId, tasks, previews, hasLock } = hello;
        const servers = hello.servers.map(admit);
        const known = { tabId, tabSecret, windowId, tasks, previews, hasLock, servers };
        return runtime
          .call((own) => ({ type: "tab-said-hello", port, call: own, hello: known }))
          .then((answer) => {
            // Refused for its id only: the tab mints another and says hello again.
            if ("ok" in answer && (answer.ok as { refused?: string }).refused) greeted = false;
            return answer as never;
          });
      }),
    addServers: (json) => call(() => ({ method: "addServers", servers: readServers(json).map(admit) })),
    submit: (json, workflow) =>
      call(() => ({ method: "submit", submission: readSubmission(json), workflow })),
    register: (json) => call(() => ({ method: "register", registration: readRegistration(json) })),
    clientId: (serverId) => call(() => ({ method: "clientId", serverId: readId(serverId) })),
    cancel: (taskId) => call(() => ({ method: "cancel", taskId: readId(taskId) })),
    dismiss: (taskId) => call(() => ({ method: "dismiss", taskId: readId(taskId) })),
    upload: (json, file) =>
      checked(() => {
        const request = readUpload(json);
        if (!(file instanceof Blob)) throw new BadField("file");
        const { transferId, server } = request;
        return transfers.start(port, transferId, (own) => ({
          fact: {
            type: "tab-called",
            port,
            call: own,
            request: { method: "upload", transferId, ...(server === undefined ? {} : { server }) },
          },
          move: (to) => to.upload(request, file),
        }));
      }),
    abort: (transferId) =>
      checked(async () => {
        transfers.abort(port, readId(transferId));
        return { ok: null };
      }),
    fetchFile: (json) =>
      checked(() => {
        const { transferId, serverId, path } = readFileRequest(json);
        return transfers.start(port, transferId, (own) => ({
          fact: {
            type: "tab-called",
            port,
            call: own,
            request: { method: "fetchFile", transferId, serverId },
          },
          move: (to) => to.fetchFile(path),
        }));
      }),
    objectInfo: (serverId) =>
      checked(() =>
        transfers.start(port, undefined, (own) => ({
          fact: {
            type: "tab-called",
            port,
            call: own,
            request: { method: "objectInfo", serverId: readId(serverId) },
          },
          move: (to) => to.objectInfo(),
        })),
      ),
    diagnostics: () => call(() => ({ method: "diagnostics" })),
  };
  return Object.freeze(Object.assign(Object.create(null), facade)) as SessionApi<Blob>;
}

/** A call that always has an answer: a wrong field is a value, not an exception. */
async function checked<T>(run: () => Promise<Answer<unknown>>): Promise<Answer<T>> {
  try {
    return (await run()) as Answer<T>;
  } catch (thrown) {
    return { error: errorOf(thrown) };
  }
}

function errorOf(thrown: unknown): WireError {
  if (thrown instanceof BadField)
    return wireError("invalid-option", `"${thrown.message}" is missing or not what it has to be.`, {
      option: thrown.message,
    });
  return wireError("host-lost", `The host failed at this call: ${String(thrown)}`, {});
}
