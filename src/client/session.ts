import { nanoid } from "nanoid";
import { queryOf, withQuery } from "../comfy/addresses.ts";
import { viewPath } from "../comfy/files.ts";
import { ComfyTabsError, codeOf, type ErrorCode } from "../protocol/errors.ts";
import type {
  FileRequest,
  HostDiagnostics,
  KnownTask,
  Registration,
  UploadedFile,
  UploadRequest,
} from "../protocol/session-api.ts";
import type { TaskSnapshot } from "../protocol/tasks.ts";
import type { LockOptions, ObjectInfo, Session, Task, WhenTabGone } from "./api.ts";
import { type CallOptions, checkSignal, closedError, type Request } from "./calls.ts";
import { cancelAfter, demand, demandText, jsonOf } from "./options.ts";
import type { Page } from "./page.ts";
import { checkSubmission, uploadKey, workflowJson } from "./submission.ts";

const patientMs = 60_000;
const objectInfoMs = 150_000;
/** The host gives up a transfer in which nothing moves; this is for a host that is gone without a notice. */
const transferMs = 6 * 3_600_000;

/** After these the host may have the task: what is remembered of it finds it again. */
const undecided: readonly ErrorCode[] = ["host-lost", "timeout", "closed", "aborted"];

export interface SessionMeans {
  readonly page: Page;
  /** The first server that this handle named. */
  readonly firstServer: string;
  readonly whenTabGone: WhenTabGone;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly release: () => void;
}

/** One handle on the page's link; the page outlives it if others hold it, too. */
export function createSession({
  page,
  firstServer,
  whenTabGone,
  randomBytes,
  release,
}: SessionMeans): Session {
  const { book, identity, logger } = page;
  const undo = new Set<() => void>();
  let closed = false;

  const open = (): void => {
    if (closed) throw closedError();
  };

  /** Tells the host of a new task, which it may know under another id already. */
  async function introduce(
    known: Pick<Request<KnownTask>, "taskId" | "promptId" | "serverId" | "label">,
    ask: () => Promise<TaskSnapshot>,
    registered?: true,
  ): Promise<Task> {
    // What a host would refuse must not be remembered: it would refuse each later hello of this tab.
    for (const [field, text] of Object.entries(known)) if (text !== undefined) demandText(text, field, 500);
    book.expect({ ...known, registered });
    try {
      const snapshot = await ask();
      if (snapshot.taskId !== known.taskId) book.unexpect(known.taskId);
      return book.take(snapshot);
    } catch (error) {
      const code = codeOf(error);
      if (code && !undecided.includes(code)) book.unexpect(known.taskId);
      throw error;
    }
  }

  /** Its caller has aborted before it heard of the task: the host may have it all the same. */
  async function withdraw(taskId: string): Promise<void> {
    try {
      await page.call("cancel", [taskId], { deadlineMs: patientMs });
      await page.call("dismiss", [taskId]);
      book.forget(taskId);
    } catch (error) {
      if (codeOf(error) === "not-found") book.forget(taskId);
      else logger.warn("an aborted task stays:", error);
    }
  }

  /** For the rest of the task's life. */
  function cancelWith(signal: AbortSignal, task: Task): void {
    const cancel = (): void => void task.cancel().catch((error) => logger.warn("cancel failed:", error));
    if (signal.aborted) cancel();
    else signal.addEventListener("abort", cancel, { once: true });
    book.whenOver(task.id, () => signal.removeEventListener("abort", cancel));
  }

  /** Runs a transfer that its signal stops at the host, too. */
  async function transfer<T>(
    transferId: string,
    signal: AbortSignal | undefined,
    run: (options: CallOptions) => Promise<T>,
  ): Promise<T> {
    checkSignal(signal);
    const abort = (): void => void page.call("abort", [transferId]).catch(() => {}); // it ends with the host, too
    signal?.addEventListener("abort", abort);
    try {
      return await run({ deadlineMs: transferMs, signal });
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
      const { signal } = options;
      const json = workflowJson(workflow);
      const submission = checkSubmission(
        workflow,
        { ...options, whenTabGone: options.whenTabGone ?? whenTabGone },
        page,
        randomBytes,
      );
      checkSignal(signal);
      const { taskId, promptId, label } = submission;
      const known = { taskId, promptId, label };
      const args = [jsonOf(submission), json];
      try {
        const task = await introduce(known, () =>
          page.call("submit", args, { deadlineMs: patientMs, signal }),
        );
        if (signal) cancelWith(signal, task);
        return task;
      } catch (error) {
        if (codeOf(error) === "aborted") void withdraw(taskId);
        throw error;
      }
    },

    async register({ serverId, promptId, label }) {
      open();
      const known = { taskId: nanoid(), serverId, promptId, label };
      const registration: Request<Registration> = { ...known, cancelAfterMs: cancelAfter(whenTabGone) };
      return introduce(known, () => page.call("register", [jsonOf(registration)]), true);
    },

    async clientId(serverId) {
      open();
      return page.call<string>("clientId", [serverId]);
    },

    tasks: book.list,
    task: (taskId) => book.tasks.get(taskId),
    servers: () => [...page.servers.values()],

    // Only with `ifAvailable` it is null, which the overloads say.
    lockServer: (async (server?: string | readonly string[], options: LockOptions = {}) => {
      open();
      return page.locks.lock(server, options, undo);
    }) as Session["lockServer"],

    async setAuth(serverId, auth) {
      open();
      await page.setAuth(serverId, auth);
    },

    async upload(file, options = {}) {
      open();
      demand(file instanceof Blob, "file", "a Blob or a File");
      const { server, subfolder, type, overwrite, maskOf, signal, onProgress } = options;
      const transferId = nanoid();
      const request: Request<UploadRequest> = {
        transferId,
        kind: maskOf ? "mask" : "image",
        filename: options.filename ?? ("name" in file ? String(file.name) : "upload.png"),
        server,
        subfolder,
        type,
        overwrite,
        original: maskOf && { ...maskOf, subfolder: maskOf.subfolder ?? "", type: maskOf.type ?? "output" },
      };
      const uploaded = await transfer(transferId, signal, (limits) => {
        if (onProgress) page.transfers.set(transferId, onProgress);
        return page.call<UploadedFile>("upload", [jsonOf(request), file], limits);
      });
      const key = uploadKey(uploaded.input);
      const holders = page.uploads.get(key) ?? new Set();
      page.uploads.set(key, holders.add(uploaded.serverId));
      return uploaded;
    },

    viewUrl(file, { withToken, ...options } = {}) {
      // By its id it may be another server by now, and the address that of one which shall not have the token.
      const isThere = file.url.startsWith(`${page.servers.get(file.serverId)?.url}/view?`);
      const auth = withToken && isThere ? page.authOf(file.serverId) : undefined;
      const token = auth?.type === "query" ? queryOf(auth) : undefined;
      return withQuery(file.url.replace(/\/view\?.*$/, viewPath(file, options)), token);
    },

    async fetchFile(file, { signal, ...options } = {}) {
      open();
      const transferId = nanoid();
      const request: FileRequest = { transferId, serverId: file.serverId, path: viewPath(file, options) };
      return transfer(transferId, signal, (limits) =>
        page.call<Blob>("fetchFile", [jsonOf(request)], limits),
      );
    },

    async objectInfo(serverId = firstServer) {
      open();
      const text = await page.call<string>("objectInfo", [serverId], { deadlineMs: objectInfoMs });
      try {
        return JSON.parse(text) as ObjectInfo;
      } catch {
        const message = `What "${serverId}" says of its nodes is not JSON.`;
        throw new ComfyTabsError("not-comfyui", message, { serverId });
      }
    },

    on(type, listener) {
      open();
      const stop = page.on(type, listener);
      const end = (): void => {
        stop();
        undo.delete(end);
      };
      undo.add(end);
      return end;
    },

    async diagnostics() {
      open();
      const host = await page.call<HostDiagnostics>("diagnostics", []);
      return { ...host, ...page.kind(), tabId: identity.tabId, windowId: page.windowId };
    },

    async close() {
      if (closed) return;
      closed = true;
      for (const end of undo) end();
      // The page may live on for another handle, and else the host would keep them for a reload.
      await page.locks.releaseAll(undo);
      release();
    },
  };
}
