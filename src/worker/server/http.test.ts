import { describe, expect, test } from "vitest";
import type { Credentials } from "../accounts.ts";
import { answerLimitBytes, askServer, type FetchLike } from "./http.ts";

const nobody: Credentials = { headers: {}, query: undefined, cookies: false };
const get = { url: "http://comfy.test/queue", method: "GET", timeoutMs: 1000 } as const;
const hanging: FetchLike = (_url, { signal }) =>
  new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));

describe("a request", () => {
  test("tells status and text, whatever they are", async () => {
    expect(await askServer(async () => new Response("no", { status: 404 }), get, nobody)).toEqual({
      status: 404,
      text: "no",
    });
    expect(await askServer(async () => new Response(null, { status: 204 }), get, nobody)).toEqual({
      status: 204,
      text: "",
    });
  });

  test("needs no preflight and sends no cookies unasked", async () => {
    const inits: RequestInit[] = [];
    const fetch: FetchLike = async (_url, init) => {
      inits.push(init);
      return new Response("");
    };
    await askServer(fetch, { ...get, method: "POST", body: "{}" }, nobody);
    await askServer(fetch, get, { ...nobody, cookies: true });
    expect(inits[0]).toMatchObject({ method: "POST", body: "{}", headers: {}, credentials: "omit" });
    expect(inits[1]).toMatchObject({ method: "GET", credentials: "include" });
    expect(inits[1]).not.toHaveProperty("body");
  });

  test("carries its credential where the account wants it", async () => {
    const urls: string[] = [];
    const fetch: FetchLike = async (url) => {
      urls.push(url);
      return new Response("");
    };
    const query = { name: "the key", value: "a&b" };
    await askServer(fetch, get, { ...nobody, query });
    await askServer(fetch, { ...get, url: `${get.url}?x=1` }, { ...nobody, query });
    expect(urls).toEqual([`${get.url}?the%20key=a%26b`, `${get.url}?x=1&the%20key=a%26b`]);
  });

  test("that nobody answers is a failure, not an answer", async () => {
    expect(await askServer(() => Promise.reject(new TypeError("Failed to fetch")), get, nobody)).toEqual({
      failure: "network",
    });
    expect(await askServer(hanging, { ...get, timeoutMs: 1 }, nobody)).toEqual({ failure: "timeout" });
  });

  test("whose answer stops in the middle is a failure", async () => {
    const cut = new ReadableStream({
      start(out) {
        out.enqueue(new TextEncoder().encode("{"));
        out.error(new Error("cut"));
      },
    });
    expect(await askServer(async () => new Response(cut), get, nobody)).toEqual({ failure: "network" });
  });

  test("gives up an endless answer", async () => {
    const mebibyte = new Uint8Array(1024 * 1024);
    let given = 0;
    const endless = new ReadableStream({
      pull(out) {
        given += mebibyte.length;
        out.enqueue(mebibyte);
      },
    });
    expect(await askServer(async () => new Response(endless), { ...get, timeoutMs: 30_000 }, nobody)).toEqual(
      {
        failure: "network",
      },
    );
    expect(given).toBeLessThan(answerLimitBytes + 8 * mebibyte.length);
  });
});
