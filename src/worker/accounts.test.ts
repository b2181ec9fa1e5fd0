import { describe, expect, test } from "vitest";
import type { Auth } from "../protocol/session-api.ts";
import { createAccounts } from "./accounts.ts";

const keyOf = (url: string, auth?: Auth) =>
  createAccounts().admit({ id: "any", url, ...(auth ? { auth } : {}) })?.key;

describe("accounts", () => {
  test.each([
    "http://comfy.test",
    "http://comfy.test/",
    "HTTP://Comfy.TEST:80",
    "http://comfy.test/?x=1",
    "http://anna:pw@comfy.test",
    "ws://comfy.test/",
    "comfy.test",
  ])("know %s as the same server", (url) => {
    expect(keyOf(url)).toBe(keyOf("http://comfy.test"));
  });

  test.each([
    "https://comfy.test",
    "http://comfy.test:8188",
    "http://comfy.test/gpu1",
    "http://comfy.test.evil",
  ])("know %s as another server", (url) => {
    expect(keyOf(url)).not.toBe(keyOf("http://comfy.test"));
  });

  test("keep two accounts at one server apart", () => {
    const url = "http://comfy.test";
    const all: (Auth | undefined)[] = [
      undefined,
      { type: "basic", username: "anna", password: "x" },
      { type: "basic", username: "ben", password: "x" },
      { type: "bearer", token: "one" },
      { type: "bearer", token: "two" },
      { type: "query", token: "one" },
      { type: "cookie" },
      { type: "bearer", token: "three", account: "anna" },
    ];
    expect(new Set(all.map((auth) => keyOf(url, auth))).size).toBe(all.length);
  });

  test("know one account by its name, whatever its secret is at the moment", () => {
    const url = "http://comfy.test";
    expect(keyOf(url, { type: "basic", username: "anna", password: "old" })).toBe(
      keyOf(url, { type: "basic", username: "anna", password: "new" }),
    );
    expect(keyOf(url, { type: "bearer", token: "old", account: "anna" })).toBe(
      keyOf(url, { type: "bearer", token: "new", account: "anna" }),
    );
  });

  test("give the core nothing of a credential", () => {
    const accounts = createAccounts();
    const secrets = ["pass-word", "bear-token", "query-token"];
    const told = [
      { type: "basic", username: "anna", password: "pass-word" },
      { type: "bearer", token: "bear-token" },
      { type: "query", token: "query-token" },
    ].map((auth) =>
      accounts.admit({ id: "main", url: "http://ben:pass-word@comfy.test", auth: auth as Auth }),
    );
    const text = JSON.stringify(told);
    for (const secret of secrets) expect(text).not.toContain(secret);
  });

  test("tell the adapters what they have to send", () => {
    const accounts = createAccounts();
    const credentials = (auth: Auth) => {
      const key = accounts.admit({ id: "main", url: "http://comfy.test", auth })?.key;
      return key && accounts.credentials(key);
    };
    expect(credentials({ type: "basic", username: "änna", password: "pw" })?.headers).toEqual({
      Authorization: `Basic ${Buffer.from("änna:pw").toString("base64")}`,
    });
    expect(credentials({ type: "bearer", token: "t" })?.headers).toEqual({ Authorization: "Bearer t" });
    expect(credentials({ type: "query", token: "t" })?.query).toEqual({ name: "token", value: "t" });
    expect(credentials({ type: "query", token: "t", name: "key" })?.query).toEqual({
      name: "key",
      value: "t",
    });
    expect(credentials({ type: "cookie" })?.cookies).toBe(true);
  });

  test("take no address that is none", () => {
    expect(createAccounts().admit({ id: "x", url: "ftp://comfy.test" })).toBeUndefined();
    expect(createAccounts().admit({ id: "x", url: "http://" })).toBeUndefined();
  });
});
