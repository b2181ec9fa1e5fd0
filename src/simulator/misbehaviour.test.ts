import { describe, expect, test } from "vitest";
import type { Answer, Request } from "./answers.ts";
import { createClock } from "./clock.ts";
import { createFaults, type Exchange, type Fault } from "./misbehaviour.ts";

const fine: Answer = { status: 200, contentType: "application/json", body: "{}", cors: true };
const post: Request = { method: "POST", target: "/prompt", body: "{}" };

interface Scene {
  /** When the server handled a request. */
  readonly handled: number[];
  readonly outcomes: { readonly at: number; readonly outcome: Exchange }[];
  send(request?: Request): void;
  until(at: number): void;
  readonly faults: ReturnType<typeof createFaults>;
}

function scene(...given: readonly Fault[]): Scene {
  const clock = createClock(0);
  const handled: number[] = [];
  const outcomes: Scene["outcomes"] = [];
  const faults = createFaults(clock, () => {
    handled.push(clock.now);
    return fine;
  });
  faults.add(...given);
  return {
    handled,
    outcomes,
    faults,
    send: (request = post) =>
      faults.exchange(request, (outcome) => outcomes.push({ at: clock.now, outcome })),
    until: clock.advanceTo,
  };
}

describe("a fault", () => {
  // The columns are those of the table at `Fault`.
  test.each<[Fault, handled: readonly number[], outcomes: readonly [at: number, outcome: unknown][]]>([
    [{ fault: "delay-request", ms: 50 }, [50], [[50, fine]]],
    [{ fault: "delay-answer", ms: 50 }, [0], [[50, fine]]],
    [{ fault: "lose-request" }, [], [[0, "reset"]]],
    [{ fault: "lose-answer" }, [0], [[0, "reset"]]],
    [{ fault: "deliver-late", ms: 50 }, [50], [[0, "reset"]]],
    [{ fault: "hang" }, [0], []],
    [{ fault: "twice" }, [0, 0], [[0, fine]]],
    [
      { fault: "answer", status: 401, body: "who are you?", contentType: "text/plain", cors: true },
      [],
      [[0, { status: 401, body: "who are you?", contentType: "text/plain", cors: true }]],
    ],
    [{ fault: "answer-instead", status: 500, body: "" }, [0], [[0, { status: 500, body: "", cors: false }]]],
  ])("%o", (fault, handled, outcomes) => {
    const { handled: seen, outcomes: told, send, until } = scene(fault);
    send();
    until(1000);
    expect(seen).toEqual(handled);
    expect(told).toHaveLength(outcomes.length);
    for (const [place, [at, outcome]] of outcomes.entries()) {
      expect(told[place]!.at).toBe(at);
      if (typeof outcome === "object") expect(told[place]!.outcome).toMatchObject(outcome as object);
      else expect(told[place]!.outcome).toBe(outcome);
    }
  });

  test("that answers shows a login page unless it is told what", () => {
    const { outcomes, send } = scene({ fault: "answer", status: 200 });
    send();
    expect(outcomes[0]!.outcome).toMatchObject({
      contentType: "text/html; charset=utf-8",
      body: expect.stringContaining("Sign in"),
    });
  });

  test("hits as many requests as it says, and is over then", () => {
    const { faults, handled, outcomes, send } = scene({ fault: "lose-request", times: 2 });
    for (let place = 0; place < 3; place += 1) send();
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(["reset", "reset", fine]);
    expect(handled).toHaveLength(1);
    expect(faults.list).toEqual([]);
  });

  test("lasts until it is cleared, if it says nothing", () => {
    const { faults, outcomes, send } = scene({ fault: "lose-request" });
    for (let place = 0; place < 5; place += 1) send();
    faults.clear();
    send();
    expect(outcomes.map(({ outcome }) => outcome)).toEqual([...Array(5).fill("reset"), fine]);
  });

  test("comes after the one before it is over", () => {
    const { outcomes, send } = scene(
      { fault: "lose-request", times: 1 },
      { fault: "answer", status: 502, times: 1 },
    );
    for (let place = 0; place < 3; place += 1) send();
    expect(outcomes.map(({ outcome }) => (typeof outcome === "string" ? outcome : outcome.status))).toEqual([
      "reset",
      502,
      200,
    ]);
  });

  test.each([
    ["POST /prompt", "POST", "/prompt", true],
    ["POST /prompt", "POST", "/api/prompt", true],
    ["POST /prompt", "GET", "/prompt", false],
    ["POST /prompt", "POST", "/prompts", false],
    ["GET /history", "GET", "/history/some-id", true],
    ["GET /history", "GET", "/history?max_items=1", true],
    ["GET /api/jobs", "GET", "/api/jobs/some-id", true],
    ["GET /queue", "GET", "/history", false],
  ])("on %s concerns %s %s: %s", (on, method, target, concerned) => {
    const { outcomes, send } = scene({ fault: "lose-request", on });
    send({ method, target, body: undefined });
    expect(outcomes[0]!.outcome === "reset").toBe(concerned);
  });
});

test("nobody answers for a server that is down", () => {
  const outcomes: Exchange[] = [];
  createFaults(createClock(0), () => undefined).exchange(post, (outcome) => outcomes.push(outcome));
  expect(outcomes).toEqual(["reset"]);
});
