import type { ServerKey } from "../protocol/ids.ts";
import type { Answer, HostEvent } from "../protocol/session-api.ts";
import type { CallKey, PortKey, RequestKey, SocketKey, WriteKey } from "./facts.ts";
import type { JournalEntry } from "./journal.ts";

/** What is to be done: the core's only outputs. The runtime obeys in order and reports back as facts. */
export type Effect =
  | {
      readonly do: "open-socket";
      readonly socket: SocketKey;
      readonly server: ServerKey;
      readonly clientId: string;
    }
  /** After this no more facts of that socket count, whatever the platform still says. */
  | { readonly do: "close-socket"; readonly socket: SocketKey }
  /** Is the host of this epoch dead? Only its lock tells, and only where it is granted without stealing. */
  | { readonly do: "probe-host"; readonly epoch: string; readonly server: ServerKey }
  /** Is any page that tab? It holds the tab's identity, or says so where there are no locks. */
  | { readonly do: "probe-tab"; readonly tabId: string; readonly task: string }
  | { readonly do: "send-text"; readonly socket: SocketKey; readonly text: string }
  | {
      readonly do: "request";
      readonly request: RequestKey;
      readonly server: ServerKey;
      readonly method: "GET" | "POST";
      /** Below the server's address, with query. */
      readonly path: string;
      readonly body?: string;
      readonly timeoutMs: number;
      /** Without credentials and unreadable, whatever the server allows: only to see whether anybody answers. */
      readonly opaque?: true;
    }
  /** Previews in it are transferred: their buffers are gone from here afterwards. */
  | {
      readonly do: "post-batch";
      readonly port: PortKey;
      readonly batch: number;
      readonly events: readonly HostEvent[];
    }
  /** Nobody is heard there any more. Whoever is there all the same has to say hello on another port. */
  | { readonly do: "drop-port"; readonly port: PortKey }
  /** Post a message to yourself; when it comes back, say `port-ticked`. */
  | { readonly do: "request-tick"; readonly port: PortKey }
  | { readonly do: "answer"; readonly call: CallKey; readonly answer: Answer<unknown> }
  /** The call may go on to this server; the runtime moves the bytes and answers by itself. */
  | {
      readonly do: "allow-transfer";
      readonly call: CallKey;
      readonly port: PortKey;
      readonly server: ServerKey;
      readonly serverId: string;
    }
  | {
      readonly do: "write-journal";
      readonly write: WriteKey;
      readonly entry: JournalEntry;
      /** The task's first entry; another one whose task is not there any more is superseded. */
      readonly isNew: boolean;
    }
  | { readonly do: "erase-journal"; readonly taskIds: readonly string[] }
  /** Makes the tab's tasks this host's; answered by `journal-claimed`. */
  | {
      readonly do: "claim-journal";
      readonly claim: WriteKey;
      readonly tabId: string;
      readonly tabSecret: string;
    }
  /** The same for tasks whose page has not come back in time; `before` in epoch milliseconds. */
  | { readonly do: "claim-overdue"; readonly claim: WriteKey; readonly before: number }
  | {
      readonly do: "expire-journal";
      readonly before: number;
      readonly perTab: number;
      readonly inAll: number;
    }
  /** Say `time-passed` at this monotonic time, and at no other; undefined: never. */
  | { readonly do: "wake"; readonly at: number | undefined }
  | { readonly do: "log"; readonly level: "debug" | "warn"; readonly message: string };
