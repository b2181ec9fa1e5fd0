import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  type AnyComfyTabsError,
  ComfyTabsError,
  type ErrorCode,
  type ErrorDetails,
  errorFromWire,
  errorToWire,
  wireError,
} from "./errors.ts";
import type { WarningCode } from "./tasks.ts";

const refusal = { type: "x", message: "y", details: "z", extraInfo: { a: [1] } };

/** One of each: the compiler asks for every code, and for no other. */
const examples: { readonly [C in ErrorCode]: ErrorDetails[C] } = {
  "workflow-format": { path: "nodes" },
  "workflow-invalid": { path: "3.inputs.model" },
  "workflow-rejected": {
    serverId: "s",
    error: refusal,
    nodeErrors: { "9": { classType: "SaveImage", errors: [refusal], dependentOutputs: ["9"] } },
  },
  "node-failed": {
    nodeId: "3",
    nodeType: "KSampler",
    exceptionType: "RuntimeError",
    exceptionMessage: "boom",
    traceback: ["File …"],
    executed: ["1"],
  },
  cancelled: { by: "other" },
  lost: { reason: "removed" },
  "server-unreachable": { serverId: "s", url: "http://comfy.test" },
  "cross-origin-blocked": { serverId: "s", url: "http://comfy.test" },
  "local-network-blocked": { url: "http://192.168.0.2" },
  "mixed-content": { url: "http://comfy.test" },
  "origin-refused": {},
  unauthorized: { serverId: "s", status: 401 },
  "not-comfyui": { serverId: "s", status: 200 },
  "server-too-old": { serverId: "s", version: "0.1.0" },
  "too-large": { size: 2, limit: 1 },
  timeout: { afterMs: 15_000 },
  "host-lost": { epoch: "e" },
  "version-mismatch": { ours: "1.0", theirs: "2.0" },
  "not-found": { what: "task" },
  "would-deadlock": { serverIds: ["a", "b"] },
  "unsupported-environment": { missing: "Worker" },
  aborted: {},
  "invalid-option": { option: "servers" },
  closed: {},
};
const codes = Object.keys(examples) as ErrorCode[];

/** Likewise. */
const warnings: { readonly [C in WarningCode]: true } = {
  waiting: true,
  "outputs-rejected": true,
  "outputs-dropped": true,
  "node-blocked": true,
  "cancel-unsupported": true,
  stalled: true,
  "not-one-server": true,
  "journal-in-memory": true,
};

describe("an error", () => {
  test.each(codes)("%s crosses a port with all that it carries", (code) => {
    const error = new ComfyTabsError(code, `what ${code} means`, examples[code]);
    const arrived = errorFromWire(structuredClone(errorToWire(error)));
    expect(arrived).toBeInstanceOf(ComfyTabsError);
    expect(arrived).not.toBe(error);
    expect({ ...arrived, message: arrived.message }).toEqual({
      name: "ComfyTabsError",
      code,
      message: `what ${code} means`,
      details: examples[code],
    });
  });

  test("has a row in docs/errors.md, which has no other codes, and so has a warning", () => {
    const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
    const rowsIn = (text = ""): string[] => {
      const rows = [...text.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code = ""]) => code);
      return [...new Set(rows)].sort();
    };
    const [errors, rest] = page.split("## Warnings");
    expect(rowsIn(errors)).toEqual([...codes].sort());
    expect(rowsIn(rest)).toEqual(Object.keys(warnings).sort());
  });

  test("is on the wire what one makes there without ever having thrown it", () => {
    const thrown = errorToWire(new ComfyTabsError("timeout", "late", { afterMs: 5 }));
    expect(wireError("timeout", "late", { afterMs: 5 })).toEqual(thrown);
    expect(Object.keys(thrown).sort()).toEqual(["code", "details", "message"]);
  });

  test("is an Error with a name and a stack, as people and tools expect", () => {
    const error = new ComfyTabsError("closed", "the session is closed", {});
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toBe("ComfyTabsError: the session is closed");
    expect(error.stack).toContain("errors.test.ts");
  });

  test("tells its details by its code", () => {
    const error = errorFromWire(wireError("timeout", "late", { afterMs: 5 }));
    const told = (one: AnyComfyTabsError): number => (one.code === "timeout" ? one.details.afterMs : 0);
    expect(told(error)).toBe(5);
  });
});
