import { nanoid } from "nanoid";
import { viewPath } from "../comfy/files.ts";
import { checkWorkflow } from "../comfy/workflow.ts";
import { ComfyTabsError } from "../protocol/errors.ts";
import {
  argumentLimit,
  type FileRequest,
  type HostDiagnostics,
  type Registration,
  type Submission,
  type UploadedFile,
  type UploadRequest,
  workflowLimit,
} from "../protocol/session-api.ts";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import type { ObjectInfo, Session, Workflow } from "./api.ts";
import { closedError } from "./link.ts";
import { invalidOption } from "./options.ts";
import type { Page } from "./page.ts";

const patient = { deadlineMs: 60_000 };
const transfer = { deadlineMs: Number.POSITIVE_INFINITY };

/** One handle on the page's link; the page outlives it if others hold it, too. */
export function createSession(
  page: Page,
  randomBytes: (count: number) => Uint8Array,
  release: () => void,
): Session {
  const { link, identity } = page;
  const undo = new Set<() => void>();
  let closed = false;

  const open = (): void => {
    if (closed) throw closedError();
  };

  /** Runs a transfer that its signal can stop at the host, too. */
  async function transferring<T>(
    transferId: string,
    signal: AbortSignal | undefined,
    run: () => Promise<T>,
  ): Promise<T> {
    if (signal?.aborted) throw new ComfyTabsError("aborted", "Aborted by its signal.", {});
    const abort = (): void => void link.call("abort", [transferId]).catch(() => {}); // it ends with the host, too
    signal?.addEventListener("abort", abort);
    try {
      return await run();
    } finally {
      signal?.removeEventListener("abort", abort);
      page.transfers.delete(transferId);
    }
  }

  return {
    get tabId() {
      return identity.tabId;
    },
    windowId: page.windowId,

    async submit(workflow, options = {}) {
      open();
      const { signal, server, front, extraData, label } = options;
      if (signal?.aborted) throw new ComfyTabsError("aborted", "Aborted before it was submitted.", {});
      const json = workflowJson(workflow);
      const filesAt = server === undefined ? holdersOf(workflow, page.uploads) : [];
      const submission: Submission = {
        taskId: nanoid(),
        promptId: uuid(randomBytes(16)),
        nodes: Object.keys(workflow).length,
        ...(server === undefined ? {} : { server }),
        ...(filesAt.length > 0 ? { filesAt } : {}),
        ...(front ? { front } : {}),
        ...(extraData === undefined ? {} : { extraData: checkExtraData(extraData) }),
        ...(label === undefined ? {} : { label: checkLabel(label) }),
      };
      const { taskId, promptId } = submission;
      page.expectTask({ taskId, promptId, ...(label === undefined ? {} : { label }) });
      const snapshot = await link.call<TaskSnapshot>("submit", [JSON.stringify(submission), json], patient);
      const task = page.takeTask(snapshot);
      if (signal) {
        const cancel = (): void =>
          void task.cancel().catch((error) => page.logger.warn("cancel failed:", error));
        if (signal.aborted) cancel();
        else signal.addEventListener("abort", cancel, { once: true });
      }
      return task;
    },

    async register({ serverId, promptId, label }) {
      open();
      const registration: Registration = {
        taskId: nanoid(),
        serverId,
        promptId,
        ...(label ? { label } : {}),
      };
      page.expectTask(registration);
      return page.takeTask(await link.call<TaskSnapshot>("register", [JSON.stringify(registration)]));
    },

    async clientId(serverId) {
      open();
      return link.call<string>("clientId", [serverId]);
    },

    tasks: () => [...page.tasks.values()].sort((a, b) => a.createdAt - b.createdAt),
    task: (taskId) => page.tasks.get(taskId),
    servers: () => [...page.servers.values()],

    async upload(file, options = {}) {
      open();
      if (!(file instanceof Blob)) throw invalidOption("file", "`upload` takes a Blob or a File.");
      const { server, subfolder, type, overwrite, maskOf, signal, onProgress } = options;
      const transferId = nanoid();
      const request: UploadRequest = {
        transferId,
        kind: maskOf ? "mask" : "image",
        filename: options.filename ?? ("name" in file ? String(file.name) : "upload.png"),
        ...(server === undefined ? {} : { server }),
        ...(subfolder ? { subfolder } : {}),
        ...(type ? { type } : {}),
        ...(overwrite ? { overwrite } : {}),
        ...(maskOf ? { original: { subfolder: "", type: "output", ...maskOf } } : {}),
      };
      if (onProgress) page.transfers.set(transferId, onProgress);
      const uploaded = await transferring(transferId, signal, () =>
        link.call<UploadedFile>("upload", [JSON.stringify(request), file], { ...transfer, signal }),
      );
      const holders = page.uploads.get(uploaded.input) ?? new Set();
      page.uploads.set(uploaded.input, holders.add(uploaded.serverId));
      return uploaded;
    },

    viewUrl: (file, options = {}) => file.url.replace(/\/view\?.*$/, viewPath(file, options)),

    async fetchFile(file, { signal, ...options } = {}) {
      open();
      const transferId = nanoid();
      const request: FileRequest = { transferId, serverId: file.serverId, path: viewPath(file, options) };
      return transferring(transferId, signal, () =>
        link.call<Blob>("fetchFile", [JSON.stringify(request)], { ...transfer, signal }),
      );
    },

    async objectInfo(serverId = page.options.servers[0]?.id ?? "") {
      open();
      const text = await link.call<string>("objectInfo", [serverId], { deadlineMs: 120_000 });
      return JSON.parse(text) as ObjectInfo;
    },

    on(type, listener) {
      open();
      const listeners = page.listeners.get(type) ?? new Set();
      page.listeners.set(type, listeners);
      listeners.add(listener);
      const end = (): void => {
        listeners.delete(listener);
        undo.delete(end);
      };
      undo.add(end);
      return end;
    },

    async diagnostics() {
      open();
      const host = await link.call<HostDiagnostics>("diagnostics", []);
      return { ...host, tabId: identity.tabId, windowId: page.windowId };
    },

    async close() {
      if (closed) return;
      closed = true;
      for (const end of undo) end();
      release();
    },
  };
}

/** @throws {@link ComfyTabsError} `workflow-format`, `workflow-invalid`, `too-large` */
function workflowJson(workflow: Workflow): string {
  const problem = checkWorkflow(workflow);
  if (problem) throw new ComfyTabsError(problem.code, problem.message, { path: problem.path });
  const json = JSON.stringify(workflow);
  if (json.length > workflowLimit) {
    const message = `The workflow has ${json.length} characters of JSON; the limit is ${workflowLimit}.`;
    throw new ComfyTabsError("too-large", message, { size: json.length, limit: workflowLimit });
  }
  return json;
}

function checkExtraData(extraData: unknown): { readonly [key: string]: unknown } {
  const bad = (): ComfyTabsError =>
    invalidOption("extraData", "`extraData` has to be an object of JSON values.");
  if (typeof extraData !== "object" || extraData === null || Array.isArray(extraData)) throw bad();
  let json: string;
  try {
    json = JSON.stringify(extraData);
  } catch {
    throw bad();
  }
  if (json.length > argumentLimit / 2)
    throw new ComfyTabsError("too-large", "`extraData` is too large.", {
      size: json.length,
      limit: argumentLimit / 2,
    });
  return extraData as { readonly [key: string]: unknown };
}

function checkLabel(label: unknown): string {
  if (typeof label === "string" && label !== "" && label.length <= 500) return label;
  throw invalidOption("label", "`label` has to be a text of 1 to 500 characters.");
}

/** The servers that hold every uploaded file which the workflow names. */
function holdersOf(workflow: Workflow, uploads: Page["uploads"]): string[] {
  let holders: Set<string> | undefined;
  for (const { inputs } of Object.values(workflow))
    for (const value of Object.values(inputs)) {
      const at = typeof value === "string" ? uploads.get(value) : undefined;
      if (at) holders = holders ? new Set([...holders].filter((id) => at.has(id))) : at;
    }
  return [...(holders ?? [])];
}

/** Version 4, made by hand: `crypto.randomUUID` is missing on insecure origins, such as a LAN's. */
function uuid(bytes: Uint8Array): string {
  const hex = [...bytes].map((byte, place) => {
    const value = place === 6 ? (byte & 0x0f) | 0x40 : place === 8 ? (byte & 0x3f) | 0x80 : byte;
    return value.toString(16).padStart(2, "0");
  });
  return hex.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
