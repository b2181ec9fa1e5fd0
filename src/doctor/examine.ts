import { addressSpace, normaliseAddress, socketAddress } from "../comfy/addresses.ts";
import { announcement } from "../comfy/announcement.ts";
import { readQueue, readQueueRemaining } from "../comfy/queue.ts";
import { type Abilities, abilities, compareVersions, oldestVersion, readVersion } from "../comfy/versions.ts";
import { ask, type Headers, listen, type Reply, type Silence } from "./probe.ts";

/** One thing that was looked at. */
export interface Finding {
  readonly is: "well" | "note" | "wrong";
  readonly what: string;
  /** What to do about it. */
  readonly todo?: string;
}

export interface Examination {
  readonly url: string;
  /** The origin of the pages that are to use the server, as `https://app.example`. */
  readonly origin?: string | undefined;
  /** To be sent with every request, as a login. */
  readonly headers?: Headers;
}

/** What a server of an older version lacks, and what comes of it. */
const lacks: { readonly [Ability in keyof Abilities]?: string } = {
  chosenPromptId: "takes no prompt ids of ours (0.3.45): a POST whose answer is lost cannot be looked up",
  metadataPreviews: "previews do not name their prompt (0.3.45)",
  targetedInterrupt: "a running prompt cannot be cancelled without risk for others (0.3.57)",
  cancelJob: "cancelling takes two requests and a look (0.26)",
};

/** Looks at a server as a page of `origin` would, and changes nothing there. What it finds is told as it is found. */
export async function* examine({ url, origin, headers = {} }: Examination): AsyncGenerator<Finding> {
  const address = normaliseAddress(url);
  if (address === undefined) {
    yield wrong(`"${url}" is no address of a server.`, "Write it as http://127.0.0.1:8188.");
    return;
  }
  const first = await ask(`${address}/prompt`, headers);
  if ("failure" in first) {
    yield silence(address, first);
    return;
  }
  const problem = identify(address, first);
  if (problem) {
    yield problem;
    return;
  }
  yield well(`ComfyUI answers at ${address}.`);
  const version = yield* examineVersion(address, headers);
  if (origin !== undefined) yield* examineOrigin(address, origin, headers);
  yield* examineSocket(address, origin, headers, version);
  yield* examineRoutes(address, headers, version);
  if (origin === undefined)
    yield note("Whether a web page may use it was not looked at: add --origin https://your.app.");
}

const well = (what: string): Finding => ({ is: "well", what });
const note = (what: string, todo?: string): Finding => ({ is: "note", what, ...(todo ? { todo } : {}) });
const wrong = (what: string, todo: string): Finding => ({ is: "wrong", what, todo });

function silence(address: string, { failure, tls }: Silence): Finding {
  if (tls === "none")
    return wrong(
      `What answers at ${address} does not speak https.`,
      `ComfyUI itself speaks http: is it ${address.replace(/^https/, "http")}?`,
    );
  if (tls === "untrusted")
    return wrong(
      `The certificate of ${address} is not trusted (${failure}).`,
      "Browsers do not trust it either, unless they know who signed it; NODE_EXTRA_CA_CERTS=<file> tells the doctor.",
    );
  return wrong(
    `Nothing answers at ${address} (${failure}).`,
    "Is ComfyUI running there, on this port? From another machine it needs --listen.",
  );
}

function identify(address: string, { status, headers, text }: Reply): Finding | undefined {
  const { location } = headers;
  if (status >= 300 && status < 400 && location !== undefined && URL.canParse(location, address))
    return wrong(
      `${address} sends on to ${new URL(location, address).href} (HTTP ${status}).`,
      "Where that is ComfyUI, name its address; where it is a login, add what it gives as --header.",
    );
  if (status === 401 || status === 403)
    return wrong(
      `${address} wants a login (HTTP ${status}).`,
      'Add it as --header "Authorization: Bearer …", and give it to connect() as `auth`.',
    );
  if (status === 200 && readQueueRemaining(text) !== undefined) return undefined;
  return wrong(
    `What answers at ${address} is not ComfyUI (HTTP ${status}).`,
    "Are port and path right? ComfyUI's own port is 8188.",
  );
}

async function* examineVersion(
  address: string,
  headers: Headers,
): AsyncGenerator<Finding, string | undefined> {
  const stats = await ask(`${address}/system_stats`, headers);
  const version = "text" in stats ? readVersion(stats.text) : undefined;
  if (version === undefined) {
    yield note("It does not tell its version, and is treated like an old one.");
    return undefined;
  }
  if (compareVersions(version, oldestVersion) < 0) {
    yield wrong(`ComfyUI ${version} is too old.`, `Update it to ${oldestVersion} or newer.`);
    return version;
  }
  yield well(`Version ${version}.`);
  const able = abilities(version);
  for (const [ability, meaning] of Object.entries(lacks))
    if (!able[ability as keyof Abilities]) yield note(`This version lacks something: ${meaning}.`);
  return version;
}

/** As a browser would ask on behalf of a page. */
async function* examineOrigin(address: string, origin: string, headers: Headers): AsyncGenerator<Finding> {
  const isSame = origin === new URL(address).origin;
  const asPage = {
    ...headers,
    Origin: origin,
    "Sec-Fetch-Site": isSame ? "same-origin" : "cross-site",
  };
  const space = addressSpace(address);
  if (origin.startsWith("https:") && address.startsWith("http:") && space !== "loopback")
    yield (space === "local" ? note : wrong)(
      `Browsers keep https pages from ${address}${space === "local" ? ", but for Chromium with its user's leave" : ""}.`,
      "Serve ComfyUI over https, by a proxy, or the page over http.",
    );
  if (space !== "public" && addressSpace(origin) === "public")
    yield note(
      "Chromium asks its user before a public page may use the local network; only https pages can ask.",
    );
  if (isSame) return;

  const plain = await ask(`${address}/prompt`, asPage);
  const flag = `Start ComfyUI with --enable-cors-header ${origin} (or without a value: every origin).`;
  if ("failure" in plain || plain.status === 403) {
    yield wrong(`It refuses pages of ${origin} (HTTP 403).`, flag);
    return;
  }
  const allowed = plain.headers["access-control-allow-origin"];
  if (allowed !== "*" && allowed !== origin) {
    yield wrong(
      allowed === undefined
        ? `Pages of ${origin} may not read its answers: there is no Access-Control-Allow-Origin.`
        : `It lets pages of ${allowed} read its answers, not of ${origin}.`,
      flag,
    );
    return;
  }
  yield well(`Pages of ${origin} may read its answers.`);
  if (allowed === "*") yield note('Any page may: cookies are of no use with that (auth type "cookie").');
  const preflight = await ask(
    `${address}/prompt`,
    {
      Origin: origin,
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": "authorization",
    },
    "OPTIONS",
  );
  const takes = "headers" in preflight ? String(preflight.headers["access-control-allow-headers"] ?? "") : "";
  if ("failure" in preflight || preflight.status >= 300 || !/authorization|\*/i.test(takes))
    yield note(
      "Its preflight does not allow the header Authorization.",
      "Only logins by that header need it: have the proxy answer OPTIONS without a login.",
    );
  else yield well("Its preflight allows a login by header.");
}

async function* examineSocket(
  address: string,
  origin: string | undefined,
  headers: Headers,
  version: string | undefined,
): AsyncGenerator<Finding> {
  // A page's socket sends its origin and its cookies, and no other header of ours.
  const cookies = Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.toLowerCase() === "cookie"),
  );
  const heard = await listen(
    socketAddress(address, "comfy-tabs-doctor").replace(/^ws/, "http"),
    origin === undefined ? headers : { ...cookies, Origin: origin },
    { say: announcement, until: "feature_flags" },
  );
  if ("failure" in heard || heard.status !== 101) {
    yield wrong(
      `The WebSocket does not open (${"failure" in heard ? heard.failure : `HTTP ${heard.status}`}).`,
      origin !== undefined && "status" in heard && heard.status === 403
        ? "The server's check of the origin refuses it: see --enable-cors-header."
        : "A proxy has to pass on upgrades of /ws, and to ask there for no header: browsers send none.",
    );
    return;
  }
  if (!heard.types.includes("status")) {
    yield wrong(
      "The WebSocket opens, but says nothing.",
      "A proxy on the way has to pass on what the server says.",
    );
    return;
  }
  yield well("The WebSocket opens and speaks.");
  if (!heard.types.includes("feature_flags") && version !== undefined && abilities(version).metadataPreviews)
    yield note("It does not answer the feature flags: previews will not name their prompt.");
}

async function* examineRoutes(
  address: string,
  headers: Headers,
  version: string | undefined,
): AsyncGenerator<Finding> {
  const able = abilities(version);
  const isThere = async (
    path: string,
    holds: (reply: Reply) => boolean,
    method = "GET",
  ): Promise<boolean> => {
    const reply = await ask(address + path, headers, method);
    return "status" in reply && holds(reply);
  };
  const missing: string[] = [];
  const needed: readonly (readonly [string, Promise<boolean>])[] = [
    ["GET /queue", isThere("/queue", ({ text }) => readQueue(text) !== undefined)],
    [
      "GET /history",
      isThere("/history?max_items=1", ({ status, text }) => status === 200 && text.startsWith("{")),
    ],
    ["GET /object_info", isThere("/object_info/SaveImage", ({ status }) => status === 200)],
    // Without a file there is nothing to upload: 400, or 500 where no form was understood.
    [
      "POST /upload/image",
      isThere("/upload/image", ({ status }) => status === 400 || status === 500, "POST"),
    ],
    ...(able.jobs
      ? ([["GET /api/jobs", isThere("/api/jobs?limit=1", ({ status }) => status === 200)]] as const)
      : []),
  ];
  for (const [name, there] of needed) if (!(await there)) missing.push(name);
  if (missing.length === 0) yield well("Queue, history, node descriptions and uploads are there.");
  else
    yield wrong(
      `Not there, or not let through: ${missing.join(", ")}.`,
      "A proxy on the way has to pass on every path of ComfyUI.",
    );
}
