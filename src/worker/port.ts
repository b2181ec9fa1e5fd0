import { present } from "../comfy/json.ts";
import type { DeclaredServer, PortHello, PortKey, TabRequest } from "../core/facts.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type {
  EventEnvelope,
  ServerDeclaration,
  SessionApi,
  SessionMethod,
  TabEnvelope,
} from "../protocol/session-api.ts";
import { protocolVersion } from "../protocol/version.ts";
import type { Accounts } from "./accounts.ts";
import { openEndpoint, type PortLike, type Reply, type TabEndpoint } from "./endpoint.ts";
import { createPageLock, type LocksLike, type PageLock } from "./page-lock.ts";
import {
  bad,
  Refusal,
  readAuth,
  readFileRequest,
  readHello,
  readId,
  readLock,
  readRegistration,
  readServers,
  readSubmission,
  readUpload,
  readWorkflow,
} from "./requests.ts";
import type { Runtime } from "./runtime.ts";
import type { After } from "./timers.ts";
import type { Plan, Transfers } from "./transfers.ts";

export interface PortMeans {
  readonly epoch: string;
  readonly runtime: Runtime;
  readonly accounts: Accounts;
  readonly transfers: Transfers;
  readonly locks: LocksLike | undefined;
  readonly after: After;
  readonly log: (level: "debug" | "warn", message: string) => void;
}

/** Serves one port: everything a tab can reach hangs on these calls, which know whose port it is. */
export function servePort(key: PortKey, port: PortLike, means: PortMeans): void {
  const { runtime, transfers, log } = means;
  const endpoint = openEndpoint(port, {
    envelope: takeEnvelope,
    /** Always has an answer: a wrong field is a value, not an exception. */
    call(method, args, reply) {
      try {
        (calls[method] as AnyCall)(reply, ...args);
      } catch (thrown) {
        reply({ error: errorOf(thrown) });
      }
    },
  });
  const lock = createPageLock(means, gone, dropped);
  const calls = sessionCalls(key, endpoint, lock, means);
  runtime.addPort(key, endpoint.post, dropped);

  function takeEnvelope(envelope: TabEnvelope): void {
    switch (envelope.comfyTabs) {
      case "ack":
        runtime.tell({ type: "tab-acknowledged", port: key, batch: envelope.batch });
        return;
      case "locked":
        lock.watch();
        return;
      case "noted":
        runtime.tell({ type: "tab-noted", port: key });
        return;
      case "suspend":
        runtime.tell({ type: "tab-suspended", port: key });
        return;
      case "resume":
        runtime.tell({ type: "tab-resumed", port: key });
        return;
      case "goodbye":
        gone();
    }
  }

  /** A page that is there all the same finds no epoch of ours, and shakes hands again on a port of its own. */
  function dropped(): void {
    endpoint.post({ comfyTabs: "events", epoch: "", batch: 0, events: [] } satisfies EventEnvelope, []);
    gone();
  }

  /** By its goodbye or by its lock, whichever is first; the other says nothing new. */
  function gone(): void {
    lock.forget();
    runtime.tell({ type: "tab-gone", port: key });
    runtime.removePort(key);
    transfers.portGone(key);
    if (endpoint.dropped > 0) log("warn", `${endpoint.dropped} messages of a tab were no calls`);
    endpoint.close();
  }
}

/** One way to answer each method; the arguments are of the kinds that it takes. */
type SessionCalls = {
  readonly [Method in SessionMethod]: (reply: Reply, ...args: Parameters<SessionApi<Blob>[Method]>) => void;
};
type AnyCall = (reply: Reply, ...args: readonly (string | Blob)[]) => void;

function sessionCalls(
  port: PortKey,
  endpoint: TabEndpoint,
  lock: PageLock,
  { epoch, runtime, accounts, transfers, locks }: PortMeans,
): SessionCalls {
  let greeted = false;

  /**
   * Safari may put a new worker behind the old ports. A tab that this one does not know is told the epoch
   * before its answer, so that it shakes hands again and repeats the call.
   */
  function known(): void {
    if (greeted) return;
    endpoint.post({ comfyTabs: "events", epoch, batch: 0, events: [] } satisfies EventEnvelope, []);
    throw new Refusal(wireError("host-lost", "This host does not know the tab: say hello first.", { epoch }));
  }

  function ask(reply: Reply, read: () => TabRequest): void {
    known();
    const request = read();
    runtime.call((call) => ({ type: "tab-called", port, call, request }), reply);
  }

  function transfer(reply: Reply, plan: () => Plan): void {
    known();
    transfers.start(port, plan(), reply);
  }

  /** What this page has declared, and under which key; its credentials are not kept here. */
  const declared = new Map<string, { readonly key: ServerKey; readonly declaration: ServerDeclaration }>();

  const admit = (declaration: ServerDeclaration): DeclaredServer => {
    const server = accounts.admit(declaration) ?? bad("servers");
    const { auth: _, ...rest } = declaration;
    declared.set(server.id, { key: server.key, declaration: rest });
    return server;
  };

  return {
    hello(reply, json) {
      const { protocol, portId, servers, hasLock, hasLockSoon, hasAsked, ...page } = readHello(json);
      if (protocol.major !== protocolVersion.major) {
        const ours = `${protocolVersion.major}.${protocolVersion.minor}`;
        const theirs = `${protocol.major}.${protocol.minor}`;
        const message = `This host speaks protocol ${ours}, the tab ${theirs}.`;
        throw new Refusal(wireError("version-mismatch", message, { ours, theirs }));
      }
      if (greeted || !lock.names(portId)) bad("hello");
      const hello: PortHello = {
        ...page,
        servers: servers.map(admit),
        hasLock: hasAsked || (hasLock && locks !== undefined),
        pings: !hasLock && !hasLockSoon,
        notes: protocol.minor > 0,
      };
      greeted = true;
      if (hasLock) lock.watch();
      else if (hasLockSoon) lock.expect();
      runtime.call(
        (call) => ({ type: "tab-said-hello", port, call, hello }),
        (answer) => {
          // Refused for its id only: the tab mints another and says hello again.
          if (!("ok" in answer) || (answer.ok as { refused?: string }).refused !== undefined) greeted = false;
          reply(answer);
        },
      );
    },
    addServers: (reply, json) =>
      ask(reply, () => ({ method: "addServers", servers: readServers(json).map(admit) })),
    setAuth: (reply, serverId, json) =>
      ask(reply, () => {
        const auth = readAuth(json);
        const id = readId(serverId);
        const { key, declaration } = declared.get(id) ?? noServer(id);
        const renewed = accounts.renew({ ...declaration, auth }, key) ?? bad("serverId");
        declared.set(id, { key: renewed.server.key, declaration });
        return { method: "setAuth", ...renewed };
      }),
    submit: (reply, json, workflow) =>
      ask(reply, () => ({
        method: "submit",
        submission: readSubmission(json),
        workflow: readWorkflow(workflow),
      })),
    register: (reply, json) =>
      ask(reply, () => ({ method: "register", registration: readRegistration(json) })),
    clientId: (reply, serverId) =>
      ask(reply, () => ({ method: "clientId", serverId: serverId && readId(serverId) })),
    cancel: (reply, taskId) => ask(reply, () => ({ method: "cancel", taskId: readId(taskId) })),
    dismiss: (reply, taskId) => ask(reply, () => ({ method: "dismiss", taskId: readId(taskId) })),
    upload: (reply, json, file) =>
      transfer(reply, () => {
        const request = readUpload(json);
        const { transferId, server } = request;
        return {
          transferId,
          request: { method: "upload", transferId, ...present({ server }) },
          move: (to) => to.upload(request, file),
        };
      }),
    abort(reply, transferId) {
      transfers.abort(port, readId(transferId));
      reply({ ok: null });
    },
    fetchFile: (reply, json) =>
      transfer(reply, () => {
        const { transferId, serverId, path } = readFileRequest(json);
        return {
          transferId,
          request: { method: "fetchFile", transferId, serverId },
          move: (to) => to.fetchFile(path),
        };
      }),
    objectInfo: (reply, serverId) =>
      transfer(reply, () => ({
        request: { method: "objectInfo", serverId: readId(serverId) },
        move: (to) => to.objectInfo(),
      })),
    lockServer: (reply, json) => ask(reply, () => ({ method: "lockServer", lock: readLock(json) })),
    unlockServer: (reply, lockId) => ask(reply, () => ({ method: "unlockServer", lockId: readId(lockId) })),
    diagnostics: (reply) => ask(reply, () => ({ method: "diagnostics" })),
  };
}

function noServer(id: string): never {
  throw new Refusal(wireError("not-found", `This session has no server "${id}".`, { what: id }));
}

const errorOf = (thrown: unknown): WireError =>
  thrown instanceof Refusal
    ? thrown.error
    : wireError("host-lost", `The host failed at this call: ${String(thrown)}`, {});
