import { describe, expect, test } from "vitest";
import type { Auth } from "../protocol/session-api.ts";
import { createAccounts } from "./accounts.ts";

const keyOf = (url: string, auth?: Auth) =>
  createAccounts().admit({ id: "any", url, ...(auth ? { auth } : {}) })?.key;

const bug = (): never => {
  throw new Error("there is none");
};

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
      { type: "basic", username: "", password: "x" },
      { type: "bearer", token: "one" },
      { type: "bearer", token: "two" },
      { type: "query", token: "one" },
      { type: "cookie" },
      { type: "bearer", token: "three", account: "carla" },
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
    const credentials = (auth: Auth) => {
      const accounts = createAccounts();
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

  describe("that are renewed", () => {
    const url = "http://comfy.test";
    const named = (auth: Auth) => ({ id: "main", url, auth });

    test.each<[string, Auth, Auth]>([
      ["a token", { type: "bearer", token: "old" }, { type: "bearer", token: "new" }],
      ["a token in the address", { type: "query", token: "old" }, { type: "query", token: "new" }],
      [
        "a password",
        { type: "basic", username: "anna", password: "old" },
        { type: "basic", username: "anna", password: "new" },
      ],
      [
        "a token of a named account",
        { type: "bearer", token: "old", account: "anna" },
        { type: "bearer", token: "new" },
      ],
      ["a cookie", { type: "cookie" }, { type: "cookie" }],
    ])("stay the same account: %s", (_, old, renewed) => {
      const accounts = createAccounts();
      const key = accounts.admit(named(old))?.key ?? bug();
      const { server, account } = accounts.renew(named(renewed), key) ?? bug();
      expect(server.key).toBe(key);
      expect(JSON.stringify(accounts.credentials(key))).not.toContain("old");
      // As the next host is told.
      expect(createAccounts().admit(named({ ...renewed, account }))?.key).toBe(key);
    });

    test.each<[string, Auth | undefined, Auth]>([
      [
        "another user",
        { type: "basic", username: "anna", password: "x" },
        { type: "basic", username: "ben", password: "x" },
      ],
      [
        "another account by name",
        { type: "bearer", token: "x" },
        { type: "bearer", token: "x", account: "ben" },
      ],
      ["the first to be given", undefined, { type: "bearer", token: "x" }],
    ])("are another account, and leave the first as it was: %s", (_, old, other) => {
      const accounts = createAccounts();
      const { key } = accounts.admit({ id: "main", url, ...(old ? { auth: old } : {}) }) ?? bug();
      const before = accounts.credentials(key);
      expect(accounts.renew(named(other), key)?.server.key).not.toBe(key);
      expect(accounts.credentials(key)).toBe(before);
    });

    test("are not undone by a page that still has the old ones, unless the new ones are refused", () => {
      const accounts = createAccounts();
      const old: Auth = { type: "bearer", token: "old", account: "anna" };
      const key = accounts.admit(named(old))?.key ?? bug();
      accounts.renew(named({ type: "bearer", token: "new" }), key);
      accounts.admit(named(old));
      expect(accounts.credentials(key).headers).toEqual({ Authorization: "Bearer new" });
      accounts.admit(named({ ...old, token: "newer" }));
      accounts.refused(key, accounts.credentials(key));
      expect(accounts.credentials(key).headers).toEqual({ Authorization: "Bearer newer" });
      accounts.refused(key, accounts.credentials(key));
      accounts.admit(named({ ...old, token: "newest" }));
      expect(accounts.credentials(key).headers).toEqual({ Authorization: "Bearer newest" });
    });
  });

  test("take a refusal for that of the credentials which were sent, not of those that came meanwhile", async () => {
    const accounts = createAccounts();
    const old: Auth = { type: "bearer", token: "old", account: "anna" };
    const { key } = accounts.admit({ id: "main", url: "http://comfy.test", auth: old }) ?? bug();
    const sent = accounts.credentials(key);
    accounts.renew({ id: "main", url: "http://comfy.test", auth: { type: "bearer", token: "new" } }, key);
    accounts.refused(key, sent);
    accounts.admit({ id: "main", url: "http://comfy.test", auth: old });
    expect(accounts.credentials(key).headers).toEqual({ Authorization: "Bearer new" });
  });

  test("take no address that is none", () => {
    expect(createAccounts().admit({ id: "x", url: "ftp://comfy.test" })).toBeUndefined();
    expect(createAccounts().admit({ id: "x", url: "http://" })).toBeUndefined();
  });
});
