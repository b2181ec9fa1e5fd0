import { checkWorkflow, type WorkflowProblem } from "../comfy/workflow.ts";
import type {
  Auth,
  FileRequest,
  Hello,
  KnownTask,
  Registration,
  ServerDeclaration,
  Submission,
  UploadRequest,
} from "../protocol/session-api.ts";

/**
 * Reads what a tab sends, field by field: this is the boundary, and nothing behind it looks at a type
 * again. A reader returns the value or throws the name of the field that is wrong.
 */
export class BadField extends Error {}

/** A workflow that no server may get; its owner hears why. */
export class BadWorkflow extends Error {
  readonly problem: WorkflowProblem;

  constructor(problem: WorkflowProblem) {
    super(problem.message);
    this.problem = problem;
  }
}

type Fields = Record<string, unknown>;

const bad = (field: string): never => {
  throw new BadField(field);
};

function parse(json: string, field: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return bad(field);
  }
}

const object = (value: unknown, field: string): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : bad(field);
const text = (fields: Fields, field: string, longest = 500): string => {
  const value = anyText(fields, field, longest);
  return value.length > 0 ? value : bad(field);
};
const anyText = (fields: Fields, field: string, longest = 500): string => {
  const value = fields[field];
  return typeof value === "string" && value.length <= longest ? value : bad(field);
};
const list = (fields: Fields, field: string, longest: number): unknown[] => {
  const value = fields[field] ?? [];
  return Array.isArray(value) && value.length <= longest ? value : bad(field);
};
const texts = (fields: Fields, field: string): string[] =>
  list(fields, field, 1000).map((value) =>
    typeof value === "string" && value.length <= 500 ? value : bad(field),
  );
const flag = (fields: Fields, field: string): boolean => {
  const value = fields[field] ?? false;
  return typeof value === "boolean" ? value : bad(field);
};
const count = (fields: Fields, field: string): number => {
  const value = fields[field];
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : bad(field);
};
const whole = (fields: Fields, field: string): number => {
  const value = count(fields, field);
  return Number.isSafeInteger(value) ? value : bad(field);
};
/** `{[field]: read()}` where the field is there, so that absent stays absent. */
function maybe<T, K extends string>(fields: Fields, field: K, read: () => T): { [P in K]?: T } {
  return (fields[field] === undefined ? {} : { [field]: read() }) as { [P in K]?: T };
}

const oneOf = <T extends string>(fields: Fields, field: string, values: readonly T[]): T =>
  values.find((value) => value === fields[field]) ?? bad(field);

/** It becomes part of the name of a lock. */
const lockName = /^[\w-]{1,100}$/;

export function readHello(json: string): Hello {
  const fields = object(parse(json, "hello"), "hello");
  const protocol = object(fields.protocol, "protocol");
  const portId = text(fields, "portId");
  return {
    protocol: { major: whole(protocol, "major"), minor: whole(protocol, "minor") },
    build: text(fields, "build"),
    portId: lockName.test(portId) ? portId : bad("portId"),
    tabId: text(fields, "tabId"),
    tabSecret: text(fields, "tabSecret"),
    windowId: text(fields, "windowId"),
    servers: list(fields, "servers", 1000).map(readServer),
    tasks: list(fields, "tasks", 10_000).map(readKnownTask),
    previews: oneOf(fields, "previews", ["newest", "none"]),
    hasLock: flag(fields, "hasLock"),
  };
}

export const readServers = (json: string): ServerDeclaration[] => {
  const servers = parse(json, "servers");
  return Array.isArray(servers) && servers.length <= 1000 ? servers.map(readServer) : bad("servers");
};

function readServer(value: unknown): ServerDeclaration {
  const fields = object(value, "servers");
  return {
    id: text(fields, "id", 2000),
    url: text(fields, "url", 2000),
    ...maybe(fields, "weight", () => count(fields, "weight") || bad("weight")),
    ...maybe(fields, "auth", () => readAuth(fields.auth)),
    ...maybe(fields, "broadcastTypes", () => texts(fields, "broadcastTypes")),
  };
}

function readAuth(value: unknown): Auth {
  const fields = object(value, "auth");
  const account = maybe(fields, "account", () => text(fields, "account"));
  const type = oneOf(fields, "type", ["basic", "bearer", "query", "cookie"]);
  const secret = (field: string): string => {
    const given = fields[field];
    return typeof given === "string" && given.length <= 16_384 ? given : bad(`auth.${field}`);
  };
  switch (type) {
    case "basic":
      return { type, username: secret("username"), password: secret("password"), ...account };
    case "bearer":
      return { type, token: secret("token"), ...account };
    case "query":
      return {
        type,
        token: secret("token"),
        ...maybe(fields, "name", () => text(fields, "name")),
        ...account,
      };
    case "cookie":
      return { type, ...account };
  }
}

function readKnownTask(value: unknown): KnownTask {
  const fields = object(value, "tasks");
  return {
    taskId: text(fields, "taskId"),
    lastSeq: whole(fields, "lastSeq"),
    settled: flag(fields, "settled"),
    ...maybe(fields, "promptId", () => text(fields, "promptId")),
    ...maybe(fields, "serverId", () => text(fields, "serverId", 2000)),
    ...maybe(fields, "label", () => anyText(fields, "label")),
  };
}

const canonicalUuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/;

export function readSubmission(json: string): Submission {
  const fields = object(parse(json, "submission"), "submission");
  const promptId = text(fields, "promptId");
  return {
    taskId: text(fields, "taskId"),
    promptId: canonicalUuid.test(promptId) ? promptId : bad("promptId"),
    ...maybe(fields, "server", () => text(fields, "server", 2000)),
    ...maybe(fields, "filesAt", () => texts(fields, "filesAt")),
    ...maybe(fields, "nodes", () => whole(fields, "nodes")),
    ...maybe(fields, "front", () => flag(fields, "front")),
    ...maybe(fields, "extraData", () => object(fields.extraData, "extraData")),
    ...maybe(fields, "label", () => anyText(fields, "label")),
  };
}

export function readRegistration(json: string): Registration {
  const fields = object(parse(json, "registration"), "registration");
  return {
    taskId: text(fields, "taskId"),
    serverId: text(fields, "serverId", 2000),
    promptId: text(fields, "promptId"),
    ...maybe(fields, "label", () => anyText(fields, "label")),
  };
}

export function readUpload(json: string): UploadRequest {
  const fields = object(parse(json, "upload"), "upload");
  return {
    transferId: text(fields, "transferId"),
    kind: oneOf(fields, "kind", ["image", "mask"]),
    filename: text(fields, "filename"),
    ...maybe(fields, "server", () => text(fields, "server", 2000)),
    ...maybe(fields, "subfolder", () => anyText(fields, "subfolder", 1000)),
    ...maybe(fields, "type", () =>
      oneOf<"input" | "temp" | "output">(fields, "type", ["input", "temp", "output"]),
    ),
    ...maybe(fields, "overwrite", () => flag(fields, "overwrite")),
    ...maybe(fields, "original", () => {
      const original = object(fields.original, "original");
      const subfolder = original.subfolder ?? "";
      return {
        filename: text(original, "filename"),
        subfolder: typeof subfolder === "string" && subfolder.length <= 1000 ? subfolder : bad("original"),
        type: text(original, "type"),
      };
    }),
  };
}

export function readFileRequest(json: string): FileRequest {
  const fields = object(parse(json, "file"), "file");
  const path = text(fields, "path", 10_000);
  return {
    transferId: text(fields, "transferId"),
    serverId: text(fields, "serverId", 2000),
    // Only files: with another path a tab would have the server's whole API under the host's credentials.
    path: path.startsWith("/view?") ? path : bad("path"),
  };
}

/**
 * Goes into the body of a POST as it is: what is no JSON would come back as a failure of the server's. The
 * rest is checked here and not in the tab, because a bad link can kill the server's thread for everybody.
 */
export function readWorkflow(json: string): string {
  const problem = checkWorkflow(parse(json, "workflow"));
  if (problem) throw new BadWorkflow(problem);
  return json;
}

export const readId = (value: string): string =>
  value.length > 0 && value.length <= 2000 ? value : bad("id");
