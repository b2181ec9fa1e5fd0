import { ComfyTabsError, errorFromWire } from "../protocol/errors.ts";
import type { Answer, SessionMethod } from "../protocol/session-api.ts";
import { demand } from "./options.ts";

const callMs = 30_000;
const longMs = 60_000;
/** A host that dies of a call must not take every later one along. */
const lives = 3;
/** So many wait at a host, which refuses a tab's calls beyond twice as many; the others wait here. */
const atOnce = 500;
/** And so many that take long, as transfers do: a `cancel` shall not wait for hundreds of them. */
const longAtOnce = 250;

export interface CallOptions {
  /** Default 30 s. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** What becomes an argument as JSON, which leaves out what is undefined. */
export type Request<T> = T extends object
  ? {
      readonly [Field in keyof T]:
        | Request<T[Field]>
        | (Partial<Pick<T, Field>> extends Pick<T, Field> ? undefined : never);
    }
  : T;

/** Carries one call to a host. Never settles when that host dies. */
export type Carry = (method: SessionMethod, args: readonly unknown[]) => Promise<Answer<unknown>>;

/** The calls under way, across hosts: each ends by its answer, its deadline, its signal, or all together. */
export interface Calls {
  /** @throws {@link ComfyTabsError} what the host answers, or `timeout`, `host-lost`, `aborted` */
  call<T>(method: SessionMethod, args: readonly unknown[], options?: CallOptions): Promise<T>;
  /** Here is a host: it gets what is under way, in the order of the calls, and every later one. */
  host(carry: Carry): void;
  /** It is gone. The calls wait for the next. */
  hostGone(): void;
  failAll(error: ComfyTabsError): void;
}

interface Call {
  readonly method: SessionMethod;
  readonly args: readonly unknown[];
  readonly answered: (answer: Answer<unknown>) => void;
  readonly failed: (error: ComfyTabsError) => void;
  readonly deadlineMs: number;
  sent: number;
  /** Which host. */
  sentTo: number;
}

export function createCalls(): Calls {
  const underWay = new Set<Call>();
  let current: Carry | undefined;
  let hosts = 0;
  let unanswered = 0;

  function sendAll(): void {
    for (const call of underWay) {
      const most = call.deadlineMs > longMs ? longAtOnce : atOnce;
      if (current && unanswered < most && call.sentTo !== hosts) send(call, current);
    }
  }

  function send(call: Call, carry: Carry): void {
    if (call.sent === lives) {
      call.failed(new ComfyTabsError("host-lost", `The host died ${lives} times during ${call.method}.`, {}));
      return;
    }
    call.sent += 1;
    const to = hosts;
    call.sentTo = to;
    unanswered += 1;
    carry(call.method, call.args)
      .then(call.answered, (error: unknown) => {
        call.failed(new ComfyTabsError("host-lost", `The host failed at this call: ${String(error)}`, {}));
      })
      .then(() => {
        if (to !== hosts) return;
        unanswered -= 1;
        sendAll();
      });
  }

  return {
    async call<T>(
      method: SessionMethod,
      args: readonly unknown[],
      { deadlineMs = callMs, signal }: CallOptions = {},
    ) {
      checkSignal(signal);
      let forget = (): void => {};
      const outcome = new Promise<T>((resolve, reject) => {
        const call: Call = {
          method,
          args,
          failed: reject,
          answered(answer) {
            if ("ok" in answer) resolve(answer.ok as T);
            else reject(errorFromWire(answer.error));
          },
          deadlineMs,
          sent: 0,
          sentTo: 0,
        };
        forget = () => underWay.delete(call);
        underWay.add(call);
        sendAll();
      });
      return within(outcome, { deadlineMs, signal }).finally(forget);
    },
    host(carry) {
      current = carry;
      hosts += 1;
      unanswered = 0;
      sendAll();
    },
    hostGone() {
      current = undefined;
    },
    failAll(error) {
      for (const call of [...underWay]) call.failed(error);
    },
  };
}

/** The outcome, unless the deadline or the signal is first. @param aborted what its abort means */
export function within<T>(
  outcome: Promise<T>,
  { deadlineMs, signal }: CallOptions,
  aborted: () => ComfyTabsError = abortedError,
): Promise<T> {
  let end = (): void => {};
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(aborted());
    let timer: ReturnType<typeof setTimeout> | undefined;
    const halfway = (ms: number, then: () => void): void => {
      timer = setTimeout(then, ms / 2);
    };
    // In two halves: after a sleep the timer is long over, and the host's answer may be on its way.
    if (deadlineMs) halfway(deadlineMs, () => halfway(deadlineMs, () => reject(timeoutError(deadlineMs))));
    end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    };
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    outcome.then(resolve, reject);
  }).finally(() => end());
}

/** @throws {@link ComfyTabsError} `invalid-option` where it is none, `aborted` where it is too late */
export function checkSignal(signal: AbortSignal | undefined): void {
  demand(signal === undefined || typeof signal?.addEventListener === "function", "signal", "an AbortSignal");
  if (signal?.aborted) throw abortedError();
}

export const abortedError = (): ComfyTabsError<"aborted"> =>
  new ComfyTabsError("aborted", "Aborted by its signal.", {});

export const closedError = (): ComfyTabsError<"closed"> =>
  new ComfyTabsError("closed", "This session is closed.", {});

export const timeoutError = (afterMs: number): ComfyTabsError<"timeout"> =>
  new ComfyTabsError("timeout", `No answer from the host in ${afterMs / 1000} s.`, { afterMs });
