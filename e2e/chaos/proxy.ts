import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createRequestReader, type HttpRequest } from "./requests.ts";

/** How a connection ends: as if a process died, or with a proper goodbye. */
export type Cut = "reset" | "end";

/**
 * What happens to one request on its way.
 *
 * | `fault` | what the client sees | what the server gets |
 * |---|---|---|
 * | `lose-request` | a reset connection | nothing |
 * | `lose-answer` | a reset connection, once the server has answered | the request |
 * | `deliver-late` | a reset connection | the request, `ms` later |
 * | `twice` | the first answer | the request, and again at once or `ms` later, on a connection of its own |
 * | `delay` | its answer, late | the request, `ms` later |
 * | `hang` | nothing, until the connection is thawed | the request |
 */
export type RequestFault =
  | { readonly fault: "lose-request" | "lose-answer" | "hang" }
  | { readonly fault: "twice"; readonly ms?: number }
  | { readonly fault: "delay"; readonly ms: number }
  | {
      readonly fault: "deliver-late";
      readonly ms: number;
      /**
       * What becomes of the same bytes until then: a browser sends them again by itself, where the connection may
       * have been closed before it got them. Default: they are a request like others.
       */
      readonly repeats?: "lost";
    };

/** One connection between a client and the server. */
export interface Connection {
  readonly id: number;
  /** `"websocket"` from the moment its upgrade was asked for. */
  readonly kind: "http" | "websocket";
  readonly isFrozen: boolean;
  cut(how: Cut): void;
  /** Half-open: nothing goes through and nothing closes, until it is thawed. */
  freeze(): void;
  thaw(): void;
}

export interface FaultyProxy {
  readonly url: string;
  /** Those that are open, oldest first. */
  readonly connections: readonly Connection[];
  /** Every request that was passed on, once for each time. */
  onDelivered(listener: (request: HttpRequest) => void): void;
  /** Requests of which the sender cannot know, by this proxy's doing or the server's, what became of them. */
  onDisturbed(listener: (request: HttpRequest) => void): void;
  /** Hits the next requests with this method and path, one each. */
  plan(on: string, ...faults: readonly RequestFault[]): void;
  /** Faults that were planned and have hit nothing yet. */
  readonly planned: number;
  /** Every chunk from now on takes so long on its way, in each direction; 0: none. */
  delayMs: number;
  /** What happens to connections that come from now on. */
  arriving: "served" | "frozen" | "refused";
  /** Forgets all plans, thaws everything, and lets everybody in. */
  clear(): void;
  close(): Promise<void>;
}

/** A proxy before the server at `target` that fails on command. It listens on 127.0.0.1 only. */
export async function startProxy(target: string): Promise<FaultyProxy> {
  const { hostname, port } = new URL(target);
  const reach = (): Socket => connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  const links = new Set<Link>();
  const [deliveries, disturbances] = [
    new Set<(request: HttpRequest) => void>(),
    new Set<(request: HttpRequest) => void>(),
  ];
  /** Connections that carry a request again, or late: nobody waits for their answers. */
  const couriers = new Set<Socket>();
  const timers = new Set<NodeJS.Timeout>();
  let plans: { readonly on: string; readonly fault: RequestFault }[] = [];
  /** Requests that come late, without their repeats. */
  const alone = new Set<string>();
  let lastId = 0;

  const road: Road = {
    reach,
    delayMs: () => proxy.delayMs,
    later(ms, then) {
      const timer = setTimeout(() => {
        timers.delete(timer);
        then();
      }, ms);
      timers.add(timer);
    },
    take({ method, path, bytes }) {
      const whole = bytes.toString("latin1");
      if (alone.has(whole)) return { fault: "lose-request" };
      const on = `${method} ${path.replace(/^\/api(?=\/)/, "")}`;
      const fault = plans.find((one) => one.on === on)?.fault;
      plans = plans.filter((one) => one.fault !== fault);
      if (fault?.fault === "deliver-late" && fault.repeats) {
        alone.add(whole);
        road.later(fault.ms, () => alone.delete(whole));
      }
      return fault;
    },
    delivered(request) {
      for (const listener of deliveries) listener(request);
    },
    disturbed(request) {
      for (const listener of disturbances) listener(request);
    },
    carry(request) {
      const courier = reach();
      couriers.add(courier);
      courier.on("data", () => courier.destroy()); // it has arrived
      courier.on("error", () => courier.destroy()); // the server is away: so is the request
      courier.on("close", () => couriers.delete(courier));
      courier.write(request.bytes, () => road.delivered(request));
    },
  };

  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    if (proxy.arriving === "refused") {
      near.on("error", () => near.destroy());
      near.resetAndDestroy();
      return;
    }
    lastId += 1;
    const link = createLink(lastId, near, road);
    links.add(link);
    near.on("close", () => links.delete(link));
    if (proxy.arriving === "frozen") link.freeze();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });

  const proxy: FaultyProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    delayMs: 0,
    arriving: "served",
    get connections() {
      return [...links];
    },
    get planned() {
      return plans.length;
    },
    onDelivered: (listener) => void deliveries.add(listener),
    onDisturbed: (listener) => void disturbances.add(listener),
    plan(on, ...faults) {
      plans.push(...faults.map((fault) => ({ on, fault })));
    },
    clear() {
      plans = [];
      proxy.delayMs = 0;
      proxy.arriving = "served";
      for (const link of links) link.thaw();
    },
    async close() {
      for (const timer of timers) clearTimeout(timer);
      for (const link of links) link.cut("reset");
      for (const courier of couriers) courier.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
  return proxy;
}

type Link = Connection;

/** What a connection needs of the proxy it runs through. */
interface Road {
  reach(): Socket;
  delayMs(): number;
  later(ms: number, then: () => void): void;
  /** The fault that is planned for this request; it is then used up. */
  take(request: HttpRequest): RequestFault | undefined;
  delivered(request: HttpRequest): void;
  disturbed(request: HttpRequest): void;
  /** Brings a request to the server on a connection of its own. */
  carry(request: HttpRequest): void;
}

function createLink(id: number, near: Socket, road: Road): Link {
  const far = road.reach();
  const requests = createRequestReader();
  let kind: Connection["kind"] = "http";
  let isFrozen = false;
  /** What was on its way when the connection froze. */
  let onTheWay: (() => void)[] = [];
  let losesAnswer = false;
  let unanswered: HttpRequest[] = [];

  const pass = (then: () => void): void => {
    const go = (): void => {
      if (isFrozen) onTheWay.push(go);
      else then();
    };
    const ms = road.delayMs();
    if (ms > 0) road.later(ms, go);
    else go();
  };
  const disturb = (): void => {
    for (const request of unanswered) road.disturbed(request);
    unanswered = [];
  };
  const cut = (how: Cut): void => {
    disturb();
    if (how === "reset") near.resetAndDestroy();
    else near.end(() => near.destroy());
    far.destroy();
  };
  const freeze = (): void => {
    disturb();
    isFrozen = true;
    near.pause();
    far.pause();
  };
  const send = (to: Socket, from: Socket, chunk: Buffer): void => {
    if (to.destroyed || to.write(chunk)) return;
    from.pause();
    to.once("drain", () => isFrozen || from.resume());
  };

  function ask(request: HttpRequest): void {
    if (request.isUpgrade) kind = "websocket";
    const fault = road.take(request);
    unanswered.push(request);
    if (fault || isFrozen || road.delayMs() > 0) disturb();
    const deliver = (): void =>
      pass(() => {
        if (far.destroyed) return;
        send(far, near, request.bytes);
        road.delivered(request);
      });
    switch (fault?.fault) {
      case undefined:
        deliver();
        break;
      case "lose-request":
        cut("reset");
        break;
      case "deliver-late":
        road.later(fault.ms, () => road.carry(request));
        cut("reset");
        break;
      case "delay":
        road.later(fault.ms, deliver);
        break;
      case "twice":
        deliver();
        if (fault.ms === undefined) road.carry(request);
        else road.later(fault.ms, () => road.carry(request));
        break;
      case "hang":
        deliver();
        freeze();
        break;
      case "lose-answer":
        losesAnswer = true;
        deliver();
    }
  }

  near.on("data", (chunk: Buffer) => {
    if (kind === "websocket") pass(() => send(far, near, chunk));
    else for (const request of requests.take(chunk)) ask(request);
  });
  far.on("data", (chunk: Buffer) => {
    unanswered = [];
    if (losesAnswer) cut("reset");
    else pass(() => send(near, far, chunk));
  });
  for (const over of ["end", "error", "close"]) far.on(over, disturb);
  for (const [one, other] of [
    [near, far],
    [far, near],
  ] as const) {
    one.on("end", () => pass(() => other.end()));
    // A reset on one side is a reset on the other; while it is frozen it goes unnoticed there.
    one.on("error", () => pass(() => other.destroyed || other.resetAndDestroy()));
    one.on("close", () => pass(() => other.destroyed || other.end(() => other.destroy())));
  }

  return {
    id,
    get kind() {
      return kind;
    },
    get isFrozen() {
      return isFrozen;
    },
    cut,
    freeze,
    thaw() {
      if (!isFrozen) return;
      isFrozen = false;
      near.resume();
      far.resume();
      const kept = onTheWay;
      onTheWay = [];
      for (const go of kept) go();
    },
  };
}
