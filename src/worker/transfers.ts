import type { Effect } from "../core/effects.ts";
import type { CallKey, Fact, PortKey } from "../core/facts.ts";
import { wireError } from "../protocol/errors.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { Answer, UploadedFile, UploadRequest } from "../protocol/session-api.ts";
import type { Accounts } from "./accounts.ts";
import type { Runtime } from "./runtime.ts";
import { createObjectInfo, fetchFile, type TransferServer, upload } from "./server/files.ts";
import type { FetchLike } from "./server/http.ts";

/** A server that the core has allowed, and what can be moved there. */
export interface Destination {
  upload(request: UploadRequest, file: Blob): Promise<Answer<UploadedFile>>;
  fetchFile(path: string): Promise<Answer<Blob>>;
  objectInfo(): Promise<Answer<string>>;
}

type Plan = (call: CallKey) => {
  readonly fact: Fact;
  readonly move: (to: Destination) => Promise<Answer<unknown>>;
};

/** Bytes on their way between tabs and servers. The core says where they may go; they do not pass through it. */
export interface Transfers {
  start(port: PortKey, transferId: string | undefined, plan: Plan): Promise<Answer<unknown>>;
  abort(port: PortKey, transferId: string): void;
  allowed(effect: Extract<Effect, { do: "allow-transfer" }>): void;
  /** The server may be another one now: what is known of its nodes is no longer. */
  reconnected(server: ServerKey): void;
}

/** A tab hears of an upload's progress at most so often, and of its end. */
const progressEveryMs = 50;

export interface TransferMeans {
  readonly accounts: Accounts;
  readonly fetch: FetchLike;
  readonly newRequest: () => XMLHttpRequest;
  readonly now: () => number;
  readonly runtime: () => Runtime;
}

export function createTransfers({ accounts, fetch, newRequest, now, runtime }: TransferMeans): Transfers {
  const moves = new Map<CallKey, { transferId: string | undefined; move: ReturnType<Plan>["move"] }>();
  const underway = new Map<string, AbortController>();
  const objectInfo = createObjectInfo(fetch);
  const nameOf = (port: PortKey, transferId: string): string => `${port} ${transferId}`;

  function progressTeller(port: PortKey, transferId: string | undefined) {
    let toldAt = Number.NEGATIVE_INFINITY;
    return (loaded: number, total: number): void => {
      if (transferId === undefined || (loaded < total && now() - toldAt < progressEveryMs)) return;
      toldAt = now();
      runtime().tell({ type: "transfer-progressed", port, transferId, loaded, total });
    };
  }

  return {
    start(_port, transferId, plan) {
      return runtime().call(
        (call) => {
          const { fact, move } = plan(call);
          moves.set(call, { transferId, move });
          return fact;
        },
        (call) => moves.delete(call),
      );
    },
    abort(port, transferId) {
      underway.get(nameOf(port, transferId))?.abort();
    },
    reconnected: (server) => void objectInfo.forget(server),
    allowed({ call, port, server: key, serverId }) {
      const planned = moves.get(call);
      if (!planned) return;
      const { transferId, move } = planned;
      const server: TransferServer = {
        url: accounts.url(key),
        serverId,
        credentials: accounts.credentials(key),
      };
      const controller = new AbortController();
      const name = nameOf(port, transferId ?? `call ${call}`);
      underway.set(name, controller);
      const { signal } = controller;
      const onProgress = progressTeller(port, transferId);
      void move({
        upload: (request, file) => upload(server, request, file, { signal, onProgress, newRequest, fetch }),
        fetchFile: (path) => fetchFile(fetch, server, path, signal),
        objectInfo: () => objectInfo.get(key, server),
      })
        .catch((thrown: unknown) => ({
          error: wireError("server-unreachable", String(thrown), { serverId }),
        }))
        .then((answer) => {
          underway.delete(name);
          runtime().answer(call, answer);
        });
    },
  };
}
