import type { Effect } from "../core/effects.ts";
import type { CallKey, PortKey, TabRequest } from "../core/facts.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { Answer, UploadedFile, UploadRequest } from "../protocol/session-api.ts";
import type { Accounts } from "./accounts.ts";
import type { Reply } from "./endpoint.ts";
import type { Runtime } from "./runtime.ts";
import { fetchFile, type UploadRequestLike, upload } from "./server/files.ts";
import type { BlockOf, FetchLike } from "./server/http.ts";
import { createObjectInfo } from "./server/object-info.ts";
import type { TransferServer } from "./server/refusal.ts";

/** A server that the core has allowed, and what can be moved there. */
export interface Destination {
  upload(request: UploadRequest, file: Blob): Promise<Answer<UploadedFile>>;
  fetchFile(path: string): Promise<Answer<Blob>>;
  objectInfo(): Promise<Answer<string>>;
}

/** What a tab wants moved. */
export interface Plan {
  readonly transferId?: string;
  /** What the core is asked for leave. */
  readonly request: TabRequest;
  readonly move: (to: Destination) => Promise<Answer<unknown>>;
}

/** Bytes on their way between tabs and servers. The core says where they may go; they do not pass through it. */
export interface Transfers {
  start(port: PortKey, plan: Plan, reply: Reply): void;
  abort(port: PortKey, transferId: string): void;
  allowed(effect: Extract<Effect, { do: "allow-transfer" }>): void;
  /** Nobody waits for what this port had under way. */
  portGone(port: PortKey): void;
  /** The server may be another one now: what is known of its nodes is no longer. */
  reconnected(server: ServerKey): void;
}

/** A tab hears of an upload's progress at most so often, and of its end. */
const progressEveryMs = 50;

export interface TransferMeans {
  readonly accounts: Accounts;
  readonly fetch: FetchLike;
  readonly blockOf: BlockOf;
  /** Undefined where there is none: uploads then tell no progress. */
  readonly newRequest: (() => UploadRequestLike) | undefined;
  readonly now: () => number;
  readonly runtime: () => Runtime;
}

/** ComfyUI's own 403 says something of a file. */
const isRefused = ({ code, details }: WireError): boolean =>
  code === "unauthorized" && (details as { status?: number }).status === 401;

interface Transfer {
  readonly port: PortKey;
  readonly plan: Plan;
  readonly controller: AbortController;
}

export function createTransfers({
  accounts,
  fetch,
  blockOf,
  newRequest,
  now,
  runtime,
}: TransferMeans): Transfers {
  const transfers = new Map<CallKey, Transfer>();
  const objectInfo = createObjectInfo(fetch);

  const find = (port: PortKey, transferId: string | undefined): Transfer | undefined =>
    transferId === undefined
      ? undefined
      : [...transfers.values()].find((one) => one.port === port && one.plan.transferId === transferId);

  function progressTeller({ port, plan: { transferId } }: Transfer) {
    let toldAt = Number.NEGATIVE_INFINITY;
    return (loaded: number, total: number): void => {
      if (transferId === undefined || (loaded < total && now() - toldAt < progressEveryMs)) return;
      toldAt = now();
      runtime().tell({ type: "transfer-progressed", port, transferId, loaded, total });
    };
  }

  return {
    start(port, plan, reply) {
      if (find(port, plan.transferId)) {
        const message = "A transfer of this name is under way.";
        reply({ error: wireError("invalid-option", message, { option: "transferId" }) });
        return;
      }
      let own: CallKey;
      runtime().call(
        (call) => {
          own = call;
          transfers.set(call, { port, plan, controller: new AbortController() });
          return { type: "tab-called", port, call, request: plan.request };
        },
        (answer) => {
          transfers.delete(own);
          reply(answer);
        },
      );
    },
    abort(port, transferId) {
      find(port, transferId)?.controller.abort();
    },
    portGone(port) {
      for (const transfer of transfers.values()) if (transfer.port === port) transfer.controller.abort();
    },
    reconnected: (server) => objectInfo.forget(server),
    allowed({ call, server: key, serverId }) {
      const transfer = transfers.get(call);
      if (!transfer) return;
      const { signal } = transfer.controller;
      const onProgress = progressTeller(transfer);
      const move = async (): Promise<Answer<unknown>> => {
        const credentials = accounts.credentials(key);
        const server: TransferServer = { url: accounts.url(key), serverId, credentials, blockOf };
        const answer = await transfer.plan.move({
          upload: (request, file) => upload(server, request, file, { signal, onProgress, newRequest, fetch }),
          fetchFile: (path) => fetchFile(fetch, server, path, signal),
          objectInfo: () => objectInfo.get(key, server),
        });
        if (!("error" in answer) || !isRefused(answer.error)) return answer;
        accounts.refused(key, credentials);
        // Others came meanwhile, or another page has them.
        return accounts.credentials(key) === credentials ? answer : move();
      };
      move()
        // Its name only: the message may hold the address with its token.
        .catch((thrown: unknown) => ({
          error: wireError("server-unreachable", `The transfer failed: ${(thrown as Error).name}`, {
            serverId,
          }),
        }))
        .then((answer) => {
          runtime().tell({ type: "transfer-ended", port: transfer.port });
          runtime().answer(call, answer);
        });
    },
  };
}
