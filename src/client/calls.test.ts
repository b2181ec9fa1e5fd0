import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Answer, SessionMethod } from "../protocol/session-api.ts";
import { createCalls } from "./calls.ts";
import { countedSignal } from "./testing/signal.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A host that answers when the test says so. */
function silentHost() {
  const asked: { method: SessionMethod; args: readonly unknown[]; answer(answer: Answer<unknown>): void }[] =
    [];
  const carry = (method: SessionMethod, args: readonly unknown[]) =>
    new Promise<Answer<unknown>>((answer) => {
      asked.push({ method, args, answer });
    });
  return { carry, asked, methods: () => asked.map(({ method }) => method) };
}

const codeOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "resolved",
    ({ code }) => code,
  );

describe("a call", () => {
  test("ends with the host's answer, and leaves neither a timer nor a listener behind", async () => {
    const [calls, host, { signal, listening }] = [createCalls(), silentHost(), countedSignal()];
    calls.host(host.carry);
    const [good, bad] = [
      calls.call("clientId", ["main"], { signal }),
      calls.call("cancel", ["task-1"], { signal }),
    ];
    host.asked[0]?.answer({ ok: "client-1" });
    host.asked[1]?.answer({ error: { code: "not-found", message: "No.", details: { what: "task-1" } } });
    expect(await good).toBe("client-1");
    await expect(bad).rejects.toMatchObject({ code: "not-found", details: { what: "task-1" } });
    expect([vi.getTimerCount(), listening()]).toEqual([0, 0]);
  });

  test("of thousands waits its turn here, for a host refuses too many at once", async () => {
    const [calls, host] = [createCalls(), silentHost()];
    calls.host(host.carry);
    const asked = Array.from({ length: 2_000 }, (_, place) => calls.call("cancel", [`task-${place}`]));
    expect(host.asked).toHaveLength(500);
    for (let place = 0; place < asked.length; await vi.advanceTimersByTimeAsync(0))
      for (; host.asked[place]; place += 1) host.asked[place]?.answer({ ok: place });
    expect(await Promise.all(asked)).toEqual(asked.map((_, place) => place));
    expect(host.asked.map(({ args }) => args[0])).toEqual(asked.map((_, place) => `task-${place}`));
  });

  test("does not wait for hundreds of transfers", async () => {
    const [calls, host] = [createCalls(), silentHost()];
    calls.host(host.carry);
    for (let place = 0; place < 1_000; place += 1)
      void calls.call("fetchFile", [`file-${place}`], { deadlineMs: 3_600_000 });
    const cancelled = calls.call("cancel", ["task-1"], { deadlineMs: 60_000 });
    expect(host.methods().at(-1)).toBe("cancel");
    host.asked.at(-1)?.answer({ ok: true });
    expect(await cancelled).toBe(true);
    host.asked[0]?.answer({ ok: null });
    await vi.advanceTimersByTimeAsync(0);
    expect(host.asked.map(({ args }) => args[0]).slice(-2)).toEqual(["task-1", "file-250"]);
  });

  test("ends at its deadline, whether or not there is a host", async () => {
    const calls = createCalls();
    const call = codeOf(calls.call("diagnostics", []));
    await vi.advanceTimersByTimeAsync(29_000);
    calls.host(silentHost().carry);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(await call).toBe("timeout");
  });

  test("hears after a sleep what its host has to say, though the deadline is over", async () => {
    const [calls, host] = [createCalls(), silentHost()];
    calls.host(host.carry);
    const call = codeOf(calls.call("diagnostics", []));
    // The timer that the page wakes to.
    vi.advanceTimersToNextTimer();
    await vi.advanceTimersByTimeAsync(5_000);
    host.asked[0]?.answer({ ok: 1 });
    expect(await call).toBe("resolved");
  });

  test("ends with its signal, and is not sent when that was aborted before", async () => {
    const [calls, host, { signal, abort, listening }] = [createCalls(), silentHost(), countedSignal()];
    calls.host(host.carry);
    const call = codeOf(calls.call("diagnostics", [], { signal }));
    abort();
    expect(await call).toBe("aborted");
    expect(await codeOf(calls.call("clientId", ["main"], { signal }))).toBe("aborted");
    expect([host.methods(), vi.getTimerCount(), listening()]).toEqual([["diagnostics"], 0, 0]);
  });

  test("waits for a host that is not there yet", async () => {
    const [calls, host] = [createCalls(), silentHost()];
    const call = calls.call("diagnostics", []);
    calls.host(host.carry);
    host.asked[0]?.answer({ ok: 1 });
    expect(await call).toBe(1);
  });

  test("is repeated at the next host, in the order of the calls, and the old one's answer still counts", async () => {
    const [calls, old, next] = [createCalls(), silentHost(), silentHost()];
    calls.host(old.carry);
    const [first, second] = [calls.call("addServers", ["[]"]), calls.call("submit", ["{}", "{}"])];
    calls.hostGone();
    const third = calls.call("cancel", ["task-1"]);
    calls.host(next.carry);
    expect(next.methods()).toEqual(["addServers", "submit", "cancel"]);
    old.asked[0]?.answer({ ok: "old" });
    for (const { answer } of next.asked) answer({ ok: "new" });
    expect(await Promise.all([first, second, third])).toEqual(["old", "new", "new"]);
  });

  test("that every host dies of is given up, and does not go to a fourth", async () => {
    const [calls, host] = [createCalls(), silentHost()];
    const call = codeOf(calls.call("diagnostics", []));
    for (let life = 0; life < 4; life += 1) {
      calls.host(host.carry);
      calls.hostGone();
    }
    expect(await call).toBe("host-lost");
    expect([host.asked.length, vi.getTimerCount()]).toEqual([3, 0]);
  });

  test("that the port itself refuses has a typed error", async () => {
    const calls = createCalls();
    calls.host(() => Promise.reject(new Error("could not be cloned")));
    await expect(calls.call("diagnostics", [])).rejects.toMatchObject({ code: "host-lost" });
  });
});
