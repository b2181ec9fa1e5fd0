import { describe, expect, test } from "vitest";
import {
  Refusal,
  readFileRequest,
  readHello,
  readId,
  readLock,
  readRegistration,
  readServers,
  readSubmission,
  readUpload,
  readWorkflow,
} from "./requests.ts";

const hello = {
  protocol: { major: 1, minor: 0 },
  build: "test",
  portId: "port_1-a",
  tabId: "tab-1",
  tabSecret: "secret",
  windowId: "window_1_a",
  servers: [{ id: "main", url: "http://comfy.test" }],
  tasks: [{ taskId: "task-1", lastSeq: 3, settled: false }],
  previews: "newest",
  hasLock: true,
};
const submission = { taskId: "task-1", promptId: "00000000-0000-4000-8000-000000000001" };
const registration = { taskId: "task-1", serverId: "main", promptId: "any" };
const upload = { transferId: "t-1", kind: "image", filename: "a.png" };
const lock = { lockId: "lock-1", mode: "shared" };
const stolen = { ...lock, mode: "exclusive", steal: true };
const workflow = '{"1":{"class_type":"SaveImage","inputs":{}}}';
const file = { transferId: "t-1", serverId: "main", path: "/view?filename=a.png" };

/** How the reader refuses the value, if it does. */
function refusalOf(read: (json: string) => unknown, value: unknown): unknown {
  try {
    read(typeof value === "string" ? value : JSON.stringify(value));
  } catch (thrown) {
    if (thrown instanceof Refusal) return thrown.error;
    throw thrown;
  }
  return undefined;
}

describe("what a tab sends", () => {
  test("is read as it was meant", () => {
    expect(readHello(JSON.stringify(hello))).toEqual(hello);
    expect(readServers(JSON.stringify(hello.servers))).toEqual(hello.servers);
    const fleeting = { ...registration, label: "portrait", cancelAfterMs: 60_000 };
    expect(readRegistration(JSON.stringify(fleeting))).toEqual(fleeting);
    expect(readLock(JSON.stringify(stolen))).toEqual(stolen);
    expect(readFileRequest(JSON.stringify(file))).toEqual(file);
    const full = {
      ...submission,
      server: "main",
      filesAt: ["main"],
      nodes: 3,
      front: true,
      label: "x",
      cancelAfterMs: 0,
    };
    expect(readSubmission(JSON.stringify(full))).toEqual(full);
    const mask = {
      ...upload,
      kind: "mask",
      subfolder: "",
      type: "input",
      overwrite: true,
      original: { filename: "b.png", subfolder: "", type: "output" },
    };
    expect(readUpload(JSON.stringify(mask))).toEqual(mask);
    expect(readWorkflow(workflow)).toBe(workflow);
  });

  test("brings nothing along that was not asked for", () => {
    const more = JSON.stringify({ ...submission, port: 7, tabId: "another", __proto__: 1 });
    expect(Object.keys(readSubmission(more))).toEqual(["taskId", "promptId"]);
  });

  test.each<[string, (json: string) => unknown, unknown, string]>([
    ["no JSON", readHello, "{", "hello"],
    ["a list for an object", readHello, [], "hello"],
    ["null", readHello, null, "hello"],
    ["no protocol", readHello, { ...hello, protocol: undefined }, "protocol"],
    ["half a protocol", readHello, { ...hello, protocol: { major: 1.5, minor: 0 } }, "major"],
    ["a port id that is no name of a lock", readHello, { ...hello, portId: "../host/x" }, "portId"],
    ["an endless port id", readHello, { ...hello, portId: "x".repeat(101) }, "portId"],
    ["a tab id of the wrong type", readHello, { ...hello, tabId: 7 }, "tabId"],
    ["an empty secret", readHello, { ...hello, tabSecret: "" }, "tabSecret"],
    ["servers that are no list", readHello, { ...hello, servers: {} }, "servers"],
    ["too many servers", readHello, { ...hello, servers: new Array(1001).fill(hello.servers[0]) }, "servers"],
    ["a server that is null", readHello, { ...hello, servers: [null] }, "servers"],
    ["a server without address", readHello, { ...hello, servers: [{ id: "x" }] }, "url"],
    [
      "a sequence number below zero",
      readHello,
      { ...hello, tasks: [{ taskId: "t", lastSeq: -1 }] },
      "lastSeq",
    ],
    ["half a sequence number", readHello, { ...hello, tasks: [{ taskId: "t", lastSeq: 0.5 }] }, "lastSeq"],
    ["unknown previews", readHello, { ...hello, previews: "all" }, "previews"],
    ["a lock that is no flag", readHello, { ...hello, hasLock: 1 }, "hasLock"],
    ["no list of servers", readServers, {}, "servers"],
    ["a weight of zero", readServers, [{ id: "x", url: "x", weight: 0 }], "weight"],
    ["an unknown way to log in", readServers, [{ id: "x", url: "x", auth: { type: "magic" } }], "type"],
    [
      "a token of the wrong type",
      readServers,
      [{ id: "x", url: "x", auth: { type: "bearer", token: 1 } }],
      "auth.token",
    ],
    [
      "a broadcast type of the wrong type",
      readServers,
      [{ id: "x", url: "x", broadcastTypes: [1] }],
      "broadcastTypes",
    ],
    ["a prompt id that is no UUID", readSubmission, { ...submission, promptId: "x" }, "promptId"],
    [
      "a prompt id in capitals",
      readSubmission,
      { ...submission, promptId: submission.promptId.replace("4", "A") },
      "promptId",
    ],
    ["extra data that is a list", readSubmission, { ...submission, extraData: [] }, "extraData"],
    ["an empty label", readSubmission, { ...submission, label: "" }, "label"],
    ["a place in nothing", readServers, [{ id: "x", url: "x", depth: 0 }], "depth"],
    ["no server to lock", readLock, { ...lock, servers: [] }, "servers"],
    ["a shared lock that is stolen", readLock, { ...lock, steal: true }, "steal"],
    ["what is stolen and only if it is there", readLock, { ...stolen, ifAvailable: true }, "steal"],
    ["a flag of text", readSubmission, { ...submission, front: "yes" }, "front"],
    ["files at a number", readSubmission, { ...submission, filesAt: 1 }, "filesAt"],
    ["half a millisecond", readSubmission, { ...submission, cancelAfterMs: 0.5 }, "cancelAfterMs"],
    ["a time below zero", readRegistration, { ...registration, cancelAfterMs: -1 }, "cancelAfterMs"],
    ["no server", readRegistration, { ...registration, serverId: undefined }, "serverId"],
    ["an unknown kind", readUpload, { ...upload, kind: "video" }, "kind"],
    ["an unknown folder", readUpload, { ...upload, type: "/etc" }, "type"],
    ["an original without name", readUpload, { ...upload, original: { type: "input" } }, "filename"],
    ["a path to something else", readFileRequest, { ...file, path: "/queue" }, "path"],
    ["a path out of /view", readFileRequest, { ...file, path: "/view/../queue?" }, "path"],
    ["an address for a path", readFileRequest, { ...file, path: "@elsewhere.test/view?" }, "path"],
    ["a workflow that is no JSON", readWorkflow, "{}, x", "workflow"],
    ["a workflow with fields after it", readWorkflow, '{},"number":-1', "workflow"],
    ["an empty id", readId, "", "id"],
    ["an endless id", readId, "x".repeat(2001), "id"],
  ])("is refused by the name of its field: %s", (_what, read, value, field) => {
    expect(refusalOf(read, value)).toMatchObject({ code: "invalid-option", details: { option: field } });
  });

  test.each([
    ["null", "workflow-format", ""],
    ["[]", "workflow-format", ""],
    ['{"nodes":[],"links":[]}', "workflow-format", "nodes"],
    ['{"1":{"class_type":"A","inputs":{"a":["2",0]}}}', "workflow-invalid", "1.inputs.a"],
  ])("is refused as a workflow, with the place: %s", (json, code, path) => {
    expect(refusalOf(readWorkflow, json)).toMatchObject({ code, details: { path } });
  });
});
