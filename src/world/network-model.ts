import { decodeMessage } from "../comfy/decode.ts";
import type { Fact, HttpAnswer, RequestKey, SocketKey } from "../core/facts.ts";
import type { ServerKey } from "../protocol/ids.ts";
import type { ComfyServer, ServerSocket } from "../simulator/index.ts";
import type { Agenda } from "./agenda.ts";
import type { Dice } from "./dice.ts";

/** An address at which there is a server, or several that know nothing of each other. */
export interface Site {
  readonly url: string;
  readonly servers: readonly ComfyServer[];
  /** Nobody answers there. */
  down: boolean;
}

export interface Order {
  readonly request: RequestKey;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
  readonly timeoutMs: number;
  readonly opaque?: true;
}

/** What a host has of the network. Its facts come late, and in each socket in order. */
export interface Line {
  request(server: ServerKey, order: Order): void;
  open(server: ServerKey, socket: SocketKey, clientId: string): void;
  send(socket: SocketKey, text: string): void;
  close(socket: SocketKey): void;
  /** The process behind it has ended: the system closes what it had open. */
  end(): void;
}

/** One WebSocket on its way between a host and a server. */
export interface Wire {
  readonly site: Site;
  readonly server: ComfyServer;
  readonly isOpen: boolean;
  /** Nothing comes through any more, not even that it has ended. */
  goBlind(): void;
  /** The host hears that it has ended; the server does not for `ms`. */
  cutAtHost(ms: number): void;
  /** The server takes it for ended; the host does not hear of it for `ms`. */
  cutAtServer(ms: number): void;
}

export interface Network {
  readonly sites: readonly Site[];
  readonly wires: ReadonlySet<Wire>;
  /** Accounts whose credentials are taken no more, until their owner signs in again. */
  readonly refused: Set<ServerKey>;
  /** Every prompt that a host has sent, and under whose name. */
  readonly posted: { readonly server: ServerKey; readonly promptId: string }[];
  online: boolean;
  line(tell: (fact: Fact) => void): Line;
  /** A page that asks a server by itself. */
  ask(server: ServerKey, order: Omit<Order, "request">, answer: (given: HttpAnswer) => void): void;
}

/** A host's key for an address and an account there; of nobody's in particular it is the address. */
export const keyOf = (url: string, account: string): ServerKey =>
  (account === "" ? url : `${url} ${account}`) as ServerKey;

/** How long a closed half-open socket takes to end in a browser. */
const closeLimitMs = 60_000;

export function createNetwork(agenda: Agenda, dice: Dice, sites: readonly Site[]): Network {
  const wires = new Set<Wire>();
  const refused = new Set<ServerKey>();
  const posted: Network["posted"] = [];

  const siteOf = (key: ServerKey): Site => {
    const site = sites.find(({ url }) => key === url || key.startsWith(`${url} `));
    if (!site) throw new Error(`G1 is broken: a request to ${key}, which nobody named`);
    return site;
  };

  const serverOf = (site: Site): ComfyServer => {
    const server = site.servers.length === 1 ? site.servers[0]! : dice.pick(site.servers)!;
    server.advanceTo(agenda.now);
    return server;
  };

  function ask(key: ServerKey, order: Omit<Order, "request">, answer: (given: HttpAnswer) => void): void {
    const site = siteOf(key);
    let done = false;
    const reply = (given: HttpAnswer): void => {
      if (done) return;
      done = true;
      answer(given);
    };
    const undoTimeout = agenda.after(order.timeoutMs, () => reply({ failure: "timeout" }));
    const failed = (): void => {
      undoTimeout();
      agenda.after(dice.delay(10), () => reply({ failure: "network" }));
    };
    if (!network.online) {
      failed();
      return;
    }
    agenda.after(dice.delay(10), () => {
      if (site.down || !network.online) {
        failed();
        return;
      }
      if (refused.has(key)) {
        agenda.after(dice.delay(10), () => {
          undoTimeout();
          reply({ status: order.opaque ? 0 : 401, text: "" });
        });
        return;
      }
      const { method, path: target, body } = order;
      serverOf(site).exchange({ method, target, body }, (outcome) => {
        // A page may not read an answer without CORS headers: it looks like a server that is down.
        if (outcome === "reset" || (!outcome.cors && !order.opaque)) {
          failed();
          return;
        }
        const { status, body } = order.opaque ? { status: 0, body: "" } : outcome;
        const text = typeof body === "string" ? body : "";
        agenda.after(dice.delay(10), () => {
          undoTimeout();
          reply({ status, text });
        });
      });
    });
  }

  function line(tell: (fact: Fact) => void): Line {
    const live = new Map<SocketKey, { send(text: string): void; close(): void }>();
    let ended = false;

    function open(key: ServerKey, socket: SocketKey, clientId: string): void {
      const site = siteOf(key);
      let [heardAt, toldClosed, blind] = [0, false, false];
      let end: ServerSocket | undefined;
      /** What the server says arrives late, but in order. */
      const inOrder = (run: () => void): void => {
        heardAt = Math.max(heardAt, agenda.now + dice.delay(5));
        agenda.at(heardAt, run);
      };
      const closed = (): void => {
        if (toldClosed) return;
        toldClosed = true;
        live.delete(socket);
        tell({ type: "socket-closed", socket, code: 1006, clean: false });
      };
      const endAtServer = (): void => {
        if (wire) {
          wire.server.advanceTo(agenda.now);
          wires.delete(wire);
        }
        end?.close();
      };
      let wire: Wire | undefined;
      let closing = false;
      live.set(socket, {
        send(text) {
          agenda.after(dice.delay(5), () => {
            if (blind || closing) return;
            wire?.server.advanceTo(agenda.now);
            end?.receive(text);
          });
        },
        close() {
          closing = true;
          toldClosed = true;
          live.delete(socket);
          agenda.after(blind ? dice.next() * closeLimitMs : dice.delay(5), endAtServer);
        },
      });
      agenda.after(dice.delay(10), () => {
        if (closing) return;
        if (site.down || !network.online || refused.has(key)) {
          inOrder(closed);
          return;
        }
        const server = serverOf(site);
        if (!server.isUp) {
          inOrder(closed);
          return;
        }
        inOrder(() => {
          if (!blind && !toldClosed) tell({ type: "socket-opened", socket });
        });
        end = server.connect(clientId, {
          frame(frame) {
            if (blind || toldClosed) return;
            const data = typeof frame === "string" ? frame : frame.buffer;
            inOrder(() => {
              if (blind || toldClosed) return;
              const message = decodeMessage(data);
              tell({ type: "message-received", socket, message, bytes: frame.length });
            });
          },
          closed() {
            if (wire) wires.delete(wire);
            if (!blind) inOrder(closed);
          },
        });
        wire = {
          site,
          server,
          get isOpen() {
            return !toldClosed && !blind && live.has(socket);
          },
          goBlind() {
            blind = true;
            agenda.after(closeLimitMs * (0.5 + dice.next()), closed);
            agenda.after(closeLimitMs * 2 * dice.next(), endAtServer);
          },
          cutAtHost(ms) {
            blind = true;
            inOrder(closed);
            agenda.after(ms, endAtServer);
          },
          cutAtServer(ms) {
            blind = true;
            endAtServer();
            agenda.after(ms, closed);
          },
        };
        wires.add(wire);
      });
    }

    return {
      request(server, order) {
        if (order.method === "POST" && order.path === "/prompt" && order.body !== undefined)
          posted.push({ server, promptId: (JSON.parse(order.body) as { prompt_id: string }).prompt_id });
        ask(server, order, (answer) => {
          if (!ended) tell({ type: "request-answered", request: order.request, answer });
        });
      },
      open,
      send: (socket, text) => live.get(socket)?.send(text),
      close: (socket) => live.get(socket)?.close(),
      end() {
        ended = true;
        for (const socket of [...live.values()]) socket.close();
      },
    };
  }

  const network: Network = { sites, wires, refused, posted, online: true, line, ask };
  return network;
}
