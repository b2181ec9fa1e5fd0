import type { Answer, Request } from "./answers.ts";
import type { Clock } from "./clock.ts";

/**
 * Something that goes wrong with HTTP requests, in the network, in a proxy or in the server.
 *
 * | `fault` | what the client sees | what the server does |
 * |---|---|---|
 * | `delay-request` | its answer, late | handles the request `ms` later |
 * | `delay-answer` | its answer, late | handles the request at once |
 * | `lose-request` | a reset connection | nothing |
 * | `lose-answer` | a reset connection | handles the request |
 * | `deliver-late` | a reset connection | handles the request `ms` later |
 * | `hang` | nothing, ever | handles the request |
 * | `twice` | one answer | handles the request twice, as when a browser repeats it |
 * | `answer` | the given answer | nothing: a proxy's login page, a 401, a 502 |
 * | `answer-instead` | the given answer | handles the request: a 500 although the prompt is queued |
 */
export type Fault = FaultScope &
  (
    | { readonly fault: "delay-request" | "delay-answer" | "deliver-late"; readonly ms: number }
    | { readonly fault: "lose-request" | "lose-answer" | "hang" | "twice" }
    | {
        readonly fault: "answer" | "answer-instead";
        readonly status: number;
        readonly body?: string;
        readonly contentType?: string;
        /** Whether the answer may be read across origins. ComfyUI's own 500 may not. @default false */
        readonly cors?: boolean;
      }
  );

interface FaultScope {
  /** Only these requests: `"POST /prompt"`, `"GET /history"` (and everything below it). Default: all. */
  readonly on?: string;
  /** How many requests it hits; then it is over. Default: all, until it is cleared. */
  readonly times?: number;
}

/** How a request ended for the client. */
export type Exchange = Answer | "reset";

export interface Faults {
  readonly list: readonly Fault[];
  add(...faults: readonly Fault[]): void;
  clear(): void;
  exchange(request: Request, reply: (outcome: Exchange) => void): void;
}

/** @param handle the server; undefined: nobody listens */
export function createFaults(clock: Clock, handle: (request: Request) => Answer | undefined): Faults {
  let active: { readonly fault: Fault; left: number }[] = [];

  function take(request: Request): Fault | undefined {
    const hit = active.find(({ fault }) => concerns(fault, request));
    if (hit === undefined) return undefined;
    hit.left -= 1;
    if (hit.left <= 0) active = active.filter((other) => other !== hit);
    return hit.fault;
  }

  const answered = (request: Request): Exchange => handle(request) ?? "reset";

  return {
    get list() {
      return active.map(({ fault }) => fault);
    },
    add(...faults) {
      active.push(...faults.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY })));
    },
    clear: () => {
      active = [];
    },
    exchange(request, reply) {
      const fault = take(request);
      switch (fault?.fault) {
        case undefined:
          return reply(answered(request));
        case "delay-request":
          clock.after(fault.ms, () => reply(answered(request)));
          return;
        case "delay-answer": {
          const outcome = answered(request);
          clock.after(fault.ms, () => reply(outcome));
          return;
        }
        case "deliver-late":
          clock.after(fault.ms, () => answered(request));
          return reply("reset");
        case "lose-request":
          return reply("reset");
        case "lose-answer":
          answered(request);
          return reply("reset");
        case "hang":
          answered(request);
          return;
        case "twice":
          answered(request);
          return reply(answered(request));
        case "answer-instead":
          answered(request);
          return reply(given(fault));
        case "answer":
          return reply(given(fault));
      }
    },
  };
}

function concerns({ on }: Fault, { method, target }: Request): boolean {
  if (on === undefined) return true;
  const [wantedMethod, wantedPath] = on.split(" ") as [string, string];
  const path = target.replace(/\?.*/, "").replace(/^\/api(?=\/)/, "");
  const wanted = wantedPath.replace(/^\/api(?=\/)/, "");
  return method === wantedMethod && (path === wanted || path.startsWith(`${wanted}/`));
}

const given = (fault: Extract<Fault, { status: number }>): Answer => ({
  status: fault.status,
  contentType: fault.contentType ?? "text/html; charset=utf-8",
  body: fault.body ?? "<!doctype html><title>Sign in</title>",
  cors: fault.cors ?? false,
});
