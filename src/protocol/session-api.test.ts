import { describe, expect, expectTypeOf, test } from "vitest";
import {
  argumentLimit,
  type SessionApi,
  type SessionMethod,
  sessionMethods,
  workflowLimit,
} from "./session-api.ts";

describe("the methods that a port lets through", () => {
  test("are none that every object has, which would lead out of the facade", () => {
    for (const method of sessionMethods) expect(method in {}).toBe(false);
  });

  test("each answer with a value, also where they fail", () => {
    type Answers = Awaited<ReturnType<SessionApi<Blob>[SessionMethod]>>;
    expectTypeOf<Answers>().toExtend<{ readonly ok: unknown } | { readonly error: unknown }>();
  });
});

describe("the limits of a call", () => {
  test("let a workflow be 16 Mi characters long, and everything else a sixteenth of it", () => {
    expect(workflowLimit).toBe(16 * 2 ** 20);
    expect(argumentLimit * 16).toBe(workflowLimit);
  });
});
