import { isObject, present } from "../comfy/json.ts";
import { checkWorkflow } from "../comfy/workflow.ts";
import { type WireError, wireError } from "../protocol/errors.ts";
import type {
  Auth,
  FileRequest,
  Hello,
  KnownLock,
  KnownTask,
  Registration,
  ServerDeclaration,
  Submission,
  UploadRequest,
} from "../protocol/session-api.ts";

/** An answer in the negative, already worded. */
export class Refusal extends Error {
  readonly error: WireError;

  constructor(error: WireError) {
    super(error.message);
    this.error = error;
  }
}

/** @param wanted what the field has to be, in words. @throws {@link Refusal} always */
export function bad(field: string, wanted = "valid"): never {
  throw new Refusal(wireError("invalid-option", `\`${field}\` has to be ${wanted}.`, { option: field }));
}

/**
 * Reads what a tab sends: this is the boundary, and nothing behind it looks at a type again. A reader
 * returns the value or refuses it by the name of its field.
 */
type Reader<T> = (value: unknown, field: string) => T;

/** A reader for every field; what is {@link optional} in the type may be absent, and then stays absent. */
type FieldReaders<T> = {
  readonly [Field in keyof T]-?: Partial<Pick<T, Field>> extends Pick<T, Field>
    ? Reader<T[Field] | undefined>
    : Reader<T[Field]>;
};

const record =
  <T>(readers: FieldReaders<T>): Reader<T> =>
  (value, name) => {
    const given = object(value, name);
    const read = Object.entries<Reader<unknown>>(readers).map(([field, reader]) => [
      field,
      reader(given[field], field),
    ]);
    return present(Object.fromEntries(read)) as T;
  };
const optional =
  <T>(reader: Reader<T>): Reader<T | undefined> =>
  (value, field) =>
    value === undefined ? undefined : reader(value, field);
const list =
  <T>(entry: Reader<T>, longest = 1000, shortest = 0): Reader<T[]> =>
  (value, field) =>
    Array.isArray(value) && value.length >= shortest && value.length <= longest
      ? value.map((one) => entry(one, field))
      : bad(field, `a list of ${shortest} to ${longest}`);
const text =
  (longest = 500, shortest = 1): Reader<string> =>
  (value, field) =>
    typeof value === "string" && value.length >= shortest && value.length <= longest
      ? value
      : bad(field, `a text of ${shortest} to ${longest} characters`);
const matching =
  (pattern: RegExp): Reader<string> =>
  (value, field) =>
    typeof value === "string" && pattern.test(value) ? value : bad(field);
const oneOf =
  <T extends string>(...values: readonly T[]): Reader<T> =>
  (value, field) =>
    values.find((one) => one === value) ?? bad(field, values.join(" or "));
const object: Reader<{ readonly [field: string]: unknown }> = (value, field) =>
  isObject(value) ? value : bad(field, "an object");
const flag: Reader<boolean> = (value = false, field) =>
  typeof value === "boolean" ? value : bad(field, "true or false");
const positive: Reader<number> = (value, field) =>
  typeof value === "number" && value > 0 && Number.isFinite(value) ? value : bad(field, "a number above 0");
const whole: Reader<number> = (value, field) =>
  typeof value === "number" && value >= 0 && Number.isSafeInteger(value)
    ? value
    : bad(field, "a whole number");

/** What the tab sends as JSON text, called `name`. */
const fromJson =
  <T>(name: string, reader: Reader<T>) =>
  (json: string): T =>
    reader(parse(json, name), name);

const id = text();
const label = optional(id);
const serverId = text(2000);
const secret: Reader<string> = (value, field) => text(16_384, 0)(value, `auth.${field}`);
/** It becomes the account's name, unless that has one. */
const user: Reader<string> = (value, field) => text(500, 0)(value, `auth.${field}`);
const account = optional(id);

type AuthOf<Type extends Auth["type"]> = Extract<Auth, { type: Type }>;
const auths: { readonly [Type in Auth["type"]]: Reader<AuthOf<Type>> } = {
  basic: record<AuthOf<"basic">>({ type: oneOf("basic"), username: user, password: secret, account }),
  bearer: record<AuthOf<"bearer">>({ type: oneOf("bearer"), token: secret, account }),
  query: record<AuthOf<"query">>({ type: oneOf("query"), token: secret, name: optional(id), account }),
  cookie: record<AuthOf<"cookie">>({ type: oneOf("cookie"), account }),
};
const authType = oneOf("basic", "bearer", "query", "cookie");

const auth: Reader<Auth> = (value, field) => auths[authType(object(value, field).type, "type")](value, field);

const servers = list(
  record<ServerDeclaration>({
    id: serverId,
    url: text(2000),
    weight: optional(positive),
    depth: optional((value, field) => whole(positive(value, field), field)),
    auth: optional(auth),
    broadcastTypes: optional(list(id)),
  }),
);

export const readServers = fromJson("servers", servers);

export const readAuth = fromJson("auth", auth);

export const readHello = fromJson(
  "hello",
  record<Hello>({
    protocol: record({ major: whole, minor: whole }),
    build: id,
    // It becomes part of the name of a lock.
    portId: matching(/^[\w-]{1,100}$/),
    tabId: id,
    tabSecret: id,
    isNew: optional(flag),
    windowId: id,
    servers,
    tasks: list(
      record<KnownTask>({
        taskId: id,
        lastSeq: whole,
        settled: flag,
        promptId: optional(id),
        serverId: optional(serverId),
        label,
        lastLoss: optional(id),
        registered: optional(flag),
        dismissed: optional(flag),
      }),
      10_000,
    ),
    locks: optional(list((value, field) => lock(value, field))),
    previews: oneOf("newest", "none"),
    hasLock: flag,
    hasLockSoon: optional(flag),
    losses: optional(text(5_000)),
    hasAsked: optional(flag),
  }),
);

export const readSubmission = fromJson(
  "submission",
  record<Submission>({
    taskId: id,
    promptId: matching(/^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/),
    server: optional(serverId),
    filesAt: optional(list(serverId)),
    nodes: optional(whole),
    affinity: optional(oneOf("tab", "none")),
    front: optional(flag),
    extraData: optional(object),
    label,
    cancelAfterMs: optional(whole),
  }),
);

export const readRegistration = fromJson(
  "registration",
  record<Registration>({ taskId: id, serverId, promptId: id, label, cancelAfterMs: optional(whole) }),
);

export const readUpload = fromJson(
  "upload",
  record<UploadRequest>({
    transferId: id,
    kind: oneOf("image", "mask"),
    filename: text(),
    server: optional(serverId),
    subfolder: optional(text(1000, 0)),
    type: optional(oneOf("input", "temp", "output")),
    overwrite: optional(flag),
    original: optional(
      record({
        filename: text(),
        subfolder: (value = "", field) => text(1000, 0)(value, field),
        type: text(),
      }),
    ),
  }),
);

export const readFileRequest = fromJson(
  "file",
  record<FileRequest>({
    transferId: id,
    serverId,
    // Only files: with another path a tab would have the server's whole API under the host's credentials.
    path: matching(/^\/view\?.{0,10000}$/s),
  }),
);

const lock = record<KnownLock>({
  lockId: id,
  mode: oneOf("exclusive", "shared"),
  servers: optional(list(serverId, 1000, 1)),
  ifAvailable: optional(flag),
  steal: optional(flag),
  held: optional(flag),
});

export const readLock = fromJson("lock", (value, field) => {
  const read = lock(value, field);
  const { mode, ifAvailable, steal } = read;
  if (steal && (ifAvailable || mode === "shared")) bad("steal", "for exclusive locks, without ifAvailable");
  return read;
});

export const readId = (value: string): string => serverId(value, "id");

/**
 * Goes into the body of a POST as it is: what is no JSON would come back as a failure of the server's. The
 * rest is checked here and not in the tab, because a bad link can kill the server's thread for everybody.
 */
export function readWorkflow(json: string): string {
  const problem = checkWorkflow(parse(json, "workflow"));
  if (problem) throw new Refusal(wireError(problem.code, problem.message, { path: problem.path }));
  return json;
}

function parse(json: string, field: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return bad(field);
  }
}
