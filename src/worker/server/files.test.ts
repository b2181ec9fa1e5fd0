import { afterEach, describe, expect, test, vi } from "vitest";
import { fetchFile, type UploadRequestLike, upload } from "./files.ts";
import type { FetchLike } from "./http.ts";
import { createObjectInfo } from "./object-info.ts";
import type { TransferServer } from "./refusal.ts";

const server: TransferServer = {
  url: "http://comfy.test",
  serverId: "main",
  credentials: { headers: { Authorization: "Bearer t" }, query: undefined, cookies: false },
};
const file = new Blob(["bytes"]);
const image = { transferId: "t", kind: "image", filename: "a.png" } as const;
const open = new AbortController().signal;
const up = '{"exec_info":{"queue_remaining":0}}';
const page = "<html><body>Log in</body></html>";

/** A server by path: an answer, or nothing that a page could read. */
const answering =
  (paths: Record<string, Response | undefined>): FetchLike =>
  async (url) => {
    const answer = paths[new URL(url).pathname];
    if (!answer) throw new TypeError("Failed to fetch");
    return answer.clone();
  };

class FakeRequest implements UploadRequestLike {
  withCredentials = false;
  status = 0;
  responseText = "";
  readonly upload: UploadRequestLike["upload"] = { onprogress: null };
  onload: UploadRequestLike["onload"] = null;
  onerror: UploadRequestLike["onerror"] = null;
  readonly headers: Record<string, string> = {};
  opened: string[] = [];
  body: FormData | undefined;
  aborted = false;

  open(...how: string[]): void {
    this.opened = how;
  }
  setRequestHeader(name: string, value: string): void {
    this.headers[name] = value;
  }
  send(body: FormData): void {
    this.body = body;
  }
  abort(): void {
    this.aborted = true;
  }
  answer(status: number, text: string): void {
    this.status = status;
    this.responseText = text;
    this.onload?.({} as ProgressEvent);
  }
}

function uploading(paths: Record<string, Response | undefined> = {}, signal = open, request: object = {}) {
  const sent = new FakeRequest();
  const progress: number[] = [];
  const answer = upload(server, { ...image, ...request } as never, file, {
    signal,
    onProgress: (loaded) => progress.push(loaded),
    newRequest: () => sent,
    fetch: answering(paths),
  });
  return { sent, progress, answer };
}

describe("an upload", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  test("sends ComfyUI's form, tells its progress, and takes the name that the server chose", async () => {
    const { sent, progress, answer } = uploading({}, open, { subfolder: "in", overwrite: true });
    sent.upload.onprogress?.({ loaded: 3, total: 5 } as ProgressEvent);
    sent.answer(200, '{"name":"a (1).png","subfolder":"in","type":"input"}');
    expect(await answer).toEqual({
      ok: { name: "a (1).png", subfolder: "in", type: "input", serverId: "main", input: "in/a (1).png" },
    });
    expect(progress).toEqual([3]);
    expect(sent.opened).toEqual(["POST", "http://comfy.test/upload/image"]);
    expect(sent.headers).toEqual({ Authorization: "Bearer t" });
    const fields = [...(sent.body as FormData).entries()];
    expect(fields.slice(1)).toEqual([
      ["type", "input"],
      ["subfolder", "in"],
      ["overwrite", "true"],
    ]);
    expect(sent.body?.get("image")).toMatchObject({ name: "a.png", size: 5 });
  });

  test.each(["temp", "output"])(
    "to %s is called by its folder, too, as a node's input has to",
    async (type) => {
      const { sent, answer } = uploading({}, open, { type });
      sent.answer(200, JSON.stringify({ name: "a.png", subfolder: "in", type }));
      expect(await answer).toMatchObject({ ok: { name: "a.png", type, input: `in/a.png [${type}]` } });
    },
  );

  test("is aborted also where signals cannot be joined, as in Safari before 17.4", async () => {
    vi.spyOn(AbortSignal, "any").mockImplementation(() => {
      throw new TypeError("AbortSignal.any is not a function");
    });
    const controller = new AbortController();
    const { sent, answer } = uploading({}, controller.signal);
    controller.abort();
    expect(await answer).toMatchObject({ error: { code: "aborted" } });
    expect(sent.aborted).toBe(true);
    const fetched = await fetchFile(answering({ "/view": new Response("bytes") }), server, "/view", open);
    expect(fetched).toMatchObject({ ok: expect.any(Blob) });
  });

  test("of a mask names its image", async () => {
    const original = { filename: "b.png", subfolder: "", type: "output" };
    const { sent } = uploading({}, open, { kind: "mask", original });
    expect(sent.opened[1]).toBe("http://comfy.test/upload/mask");
    expect(JSON.parse(String(sent.body?.get("original_ref")))).toEqual(original);
  });

  test.each([
    [401, "", "unauthorized"],
    [403, "", "unauthorized"],
    [404, "", "not-found"],
    [413, "", "too-large"],
    [400, "no file", "invalid-option"],
    [502, page, "not-comfyui"],
    [200, page, "not-comfyui"],
    [200, "{}", "not-comfyui"],
  ])("answered with %i %s is %s", async (status, text, code) => {
    const { sent, answer } = uploading();
    sent.answer(status, text);
    const given = await answer;
    expect(given).toMatchObject({ error: { code } });
    expect(JSON.stringify(given)).not.toContain("<html>");
  });

  test.each<[string, Record<string, Response>, string]>([
    ["nobody answers", {}, "server-unreachable"],
    ["the server is up", { "/prompt": new Response(up) }, "not-comfyui"],
    ["the server wants a login", { "/prompt": new Response("", { status: 401 }) }, "unauthorized"],
    ["something else answers", { "/prompt": new Response(page) }, "not-comfyui"],
    [
      "the server takes less",
      { "/prompt": new Response(up), "/features": new Response('{"max_upload_size":4}') },
      "too-large",
    ],
    [
      "the server takes more",
      { "/prompt": new Response(up), "/features": new Response('{"max_upload_size":400}') },
      "not-comfyui",
    ],
  ])("without a readable answer, where %s", async (_what, paths, code) => {
    const { sent, answer } = uploading(paths);
    sent.onerror?.({} as ProgressEvent);
    expect(await answer).toMatchObject({ error: { code } });
  });

  test("ends when it is aborted", async () => {
    const controller = new AbortController();
    const { sent, answer } = uploading({}, controller.signal);
    controller.abort();
    expect(await answer).toMatchObject({ error: { code: "aborted" } });
    expect(sent.aborted).toBe(true);
  });

  test("ends when nothing moves any more, and not before", async () => {
    vi.useFakeTimers();
    const { sent, answer } = uploading();
    let given: unknown;
    void answer.then((one) => {
      given = one;
    });
    await vi.advanceTimersByTimeAsync(100_000);
    sent.upload.onprogress?.({ loaded: 1, total: 5 } as ProgressEvent);
    await vi.advanceTimersByTimeAsync(100_000);
    expect(given).toBeUndefined();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(given).toMatchObject({ error: { code: "timeout" } });
  });

  test("goes by fetch where there is nothing else", async () => {
    const inits: RequestInit[] = [];
    const answer = await upload(server, image, file, {
      signal: open,
      onProgress() {},
      newRequest: undefined,
      fetch: async (_url, init) => {
        inits.push(init);
        return new Response('{"name":"a.png"}');
      },
    });
    expect(answer).toMatchObject({ ok: { name: "a.png", input: "a.png" } });
    expect(inits[0]).toMatchObject({ method: "POST", credentials: "omit" });
  });
});

describe("a file", () => {
  test("comes as the bytes that the server has, with their type", async () => {
    const bytes = new Response("png bytes", { headers: { "content-type": "image/png" } });
    const answer = await fetchFile(answering({ "/view": bytes }), server, "/view?filename=a.png", open);
    expect("ok" in answer && (await answer.ok.text())).toBe("png bytes");
    expect("ok" in answer && answer.ok.type).toBe("image/png");
  });

  test("that is not there is not-found", async () => {
    const gone = new Response("", { status: 404 });
    expect(await fetchFile(answering({ "/view": gone }), server, "/view?filename=a", open)).toMatchObject({
      error: { code: "not-found" },
    });
  });

  test("from a server that does not answer is server-unreachable", async () => {
    expect(await fetchFile(answering({}), server, "/view?filename=a", open)).toMatchObject({
      error: { code: "server-unreachable", details: { serverId: "main", url: "http://comfy.test" } },
    });
  });
});

describe("object info", () => {
  function counted(answers: (Response | undefined)[]) {
    let asked = 0;
    const info = createObjectInfo(async (url) => {
      if (!url.endsWith("/object_info")) throw new TypeError("Failed to fetch");
      const answer = answers[asked];
      asked += 1;
      if (!answer) throw new TypeError("Failed to fetch");
      return answer;
    });
    return { info, asked: () => asked };
  }

  test("is fetched once for all tabs", async () => {
    const { info, asked } = counted([new Response('{"KSampler":{}}')]);
    const [anna, ben] = await Promise.all([info.get("key", server), info.get("key", server)]);
    expect(await info.get("key", server)).toEqual({ ok: '{"KSampler":{}}' });
    expect([anna, ben]).toEqual([{ ok: '{"KSampler":{}}' }, { ok: '{"KSampler":{}}' }]);
    expect(asked()).toBe(1);
  });

  test("is fetched again after a failure, and after a new connection", async () => {
    const { info, asked } = counted([undefined, new Response("{}"), new Response('{"new":1}')]);
    expect(await info.get("key", server)).toMatchObject({ error: { code: "server-unreachable" } });
    expect(await info.get("key", server)).toEqual({ ok: "{}" });
    info.forget("key");
    expect(await info.get("key", server)).toEqual({ ok: '{"new":1}' });
    expect(asked()).toBe(3);
  });

  test("that failed tells each tab so under the tab's own name for the server", async () => {
    const { info } = counted([new Response(page)]);
    const [anna, ben] = await Promise.all([
      info.get("key", { ...server, serverId: "anna's" }),
      info.get("key", { ...server, serverId: "ben's" }),
    ]);
    expect(anna).toMatchObject({ error: { code: "not-comfyui", details: { serverId: "anna's" } } });
    expect(ben).toMatchObject({ error: { code: "not-comfyui", details: { serverId: "ben's" } } });
  });

  test("of two accounts is two", async () => {
    const { info, asked } = counted([new Response("{}"), new Response("{}")]);
    await info.get("one", server);
    await info.get("two", server);
    expect(asked()).toBe(2);
  });
});
