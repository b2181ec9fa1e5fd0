import { describe, expect, test } from "vitest";
import { readCancelled, readJob } from "./jobs.ts";

const id = "9eb9b065-0000-4000-8000-000000000001";

describe("a job", () => {
  test.each(["pending", "in_progress", "completed", "failed", "cancelled"])("may be %s", (status) => {
    expect(readJob(200, JSON.stringify({ id, status, priority: 1, create_time: 5 }))).toEqual({
      promptId: id,
      status,
      outputs: {},
    });
  });

  test("has its outputs when it is over", () => {
    const outputs = { "9": { images: [] }, "10": null };
    expect(readJob(200, JSON.stringify({ id, status: "completed", outputs }))).toEqual({
      promptId: id,
      status: "completed",
      outputs: { "9": { images: [] } },
    });
  });

  test("that failed says why", () => {
    const execution_error = { node_id: "3", node_type: "KSampler", exception_message: "boom" };
    expect(readJob(200, JSON.stringify({ id, status: "failed", execution_error }))).toMatchObject({
      failure: { nodeId: "3", nodeType: "KSampler", exceptionMessage: "boom", traceback: [] },
    });
  });

  test("is unknown by ComfyUI's own words only", () => {
    expect(readJob(404, '{"error":"Job not found"}')).toBe("unknown");
  });

  test.each<[string, number, string]>([
    ["a 404 of a server without jobs", 404, "404: Not Found"],
    ["a 404 of a proxy", 404, '{"error":"no route"}'],
    ["those words with another status", 200, '{"error":"Job not found"}'],
    ["those words of a broken gateway", 502, '{"error":"Job not found"}'],
    ["a 500", 500, "500 Internal Server Error"],
    ["a job with a 500", 500, JSON.stringify({ id, status: "completed" })],
    ["no id", 200, '{"status":"completed"}'],
    ["a status to come", 200, JSON.stringify({ id, status: "paused" })],
    ["a status that every object has", 200, JSON.stringify({ id, status: "constructor" })],
    ["a list", 200, "[]"],
    ["nothing", 200, ""],
  ])("cannot be read from %s", (_, status, text) => {
    expect(readJob(status, text)).toBeUndefined();
  });
});

describe("the answer to a cancel", () => {
  test.each([
    ['{"cancelled":true}', true],
    ['{"cancelled":false}', false],
    ['{"cancelled":"true"}', undefined],
    ['{"error":"x"}', undefined],
    ["405: Method Not Allowed", undefined],
    ["", undefined],
  ])("%j is %s", (text, cancelled) => {
    expect(readCancelled(text)).toBe(cancelled);
  });
});
