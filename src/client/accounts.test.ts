import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { OutputFile } from "../protocol/tasks.ts";
import { type Browser, createBrowser } from "./testing/browser.ts";
import { json } from "./testing/comfy.ts";
import { codeOf, isAt, workflow } from "./testing/task.ts";

const main = "http://comfy.test";
const two = "http://two.test";

let browser: Browser;
beforeEach(() => {
  browser = createBrowser();
});
afterEach(() => browser.end());

const bearer = (token: string, account?: string) => ({
  type: "bearer" as const,
  token,
  ...(account ? { account } : {}),
});
const named = (token: string, account?: string) => [{ url: main, auth: bearer(token, account) }];
const tokens = () => browser.comfy.prompts.map(({ headers }) => new Headers(headers).get("authorization"));
const file = (url: string, serverId = main): OutputFile => ({
  nodeId: "9",
  kind: "image",
  filename: "a.png",
  subfolder: "",
  type: "output",
  serverId,
  url: `${url}/view?filename=a.png&subfolder=&type=output`,
});
/** The server takes this token and no other. */
function takes(token: string): void {
  for (const path of ["/prompt", "/queue", "/system_stats", "/view", "/object_info", "/upload/image"])
    browser.comfy.guarded.set(path, token);
}

describe("connect, called twice at once,", () => {
  test("refuses the second of two servers that are named at once by one id", async () => {
    const page = browser.openPage();
    await page.connect();
    const later = (url: string) => codeOf(page.connect({ servers: [{ id: "x", url }] }));
    expect(await Promise.all([later("http://one.test"), later(two)])).toEqual(["resolved", "invalid-option"]);
  });

  test("refuses the second of two accounts that are named at once: the first one's prompts stay its own", async () => {
    const page = browser.openPage();
    await page.connect();
    const later = (who: string) => page.connect({ servers: [{ url: two, auth: bearer(who, who) }] });
    const [anna, ben] = [later("anna"), codeOf(later("ben"))];
    const session = await anna;
    const refusal = await ben;
    await isAt(await session.submit(workflow, { server: two }), "queued");
    expect([refusal, tokens()]).toEqual(["invalid-option", ["Bearer anna"]]);
  });

  test("does not undo a setAuth that came while it was under way", async () => {
    let grant = (): void => {};
    let asked = 0;
    const askForAccess = async () => {
      asked += 1;
      if (asked === 3) await new Promise<void>((granted) => (grant = granted));
    };
    const page = browser.openPage(undefined, { askForAccess });
    await page.connect();
    const servers = [{ url: two, auth: bearer("anna", "anna") }];
    const [first, second] = [page.connect({ servers }), page.connect({ servers })];
    const session = await first;
    await session.setAuth(two, bearer("ben", "ben"));
    grant();
    await second;
    await isAt(await session.submit(workflow, { server: two }), "queued");
    expect(tokens()).toEqual(["Bearer ben"]);
  });
});

describe("after setAuth", () => {
  test("a connect that names another account is refused as before", async () => {
    const page = browser.openPage();
    const session = await page.connect({ servers: named("a1", "anna") });
    const again = (token: string, account: string) =>
      codeOf(page.connect({ servers: named(token, account) }));
    expect(await again("b", "ben")).toBe("invalid-option");
    await session.setAuth(main, bearer("a2", "anna"));
    expect([await again("a1", "anna"), await again("a2", "anna")]).toEqual(["resolved", "resolved"]);
    expect(await again("b", "ben")).toBe("invalid-option");
  });

  test("a component that is mounted again may bring any token of the account", async () => {
    const page = browser.openPage();
    const session = await page.connect({ servers: named("a1", "anna") });
    await session.setAuth(main, bearer("a2", "anna"));
    await session.setAuth(main, bearer("a3"));
    for (const token of ["a1", "a2", "a3"])
      expect(await codeOf(page.connect({ servers: named(token, "anna") }))).toBe("resolved");
    await isAt(await session.submit(workflow), "queued");
    expect(tokens()).toEqual(["Bearer a3"]);
  });

  test("a refusal of the old credentials that was on its way asks for no others, and holds nothing up", async () => {
    const { comfy } = browser;
    const session = await browser.openPage().connect({ servers: named("old") });
    await expect.poll(() => session.servers()[0]?.version).toBeDefined();
    let refuse = (): void => {};
    comfy.answers.set("/prompt", () => {
      comfy.answers.delete("/prompt");
      return new Promise((answer) => (refuse = () => answer(new Response("Log in", { status: 401 }))));
    });
    const asked: string[] = [];
    session.on("auth-required", ({ serverId }) => asked.push(serverId));
    const task = await session.submit(workflow);
    await expect.poll(() => comfy.requests.filter((one) => one.startsWith("POST")).length).toBe(1);
    await session.setAuth(main, bearer("new"));
    refuse();
    await isAt(task, "queued");
    expect([asked, tokens()]).toEqual([[], ["Bearer new"]]);
  });
});

describe("a page that brings the newer token of an account, whose old one has run out", () => {
  test("moves files with it", async () => {
    const { comfy } = browser;
    comfy.answers.set("/view", () => new Response("picture"));
    comfy.answers.set("/object_info", () => json({}));
    comfy.answers.set("/upload/image", () => json({ name: "p.png", subfolder: "", type: "input" }));
    const old = await browser.openPage().connect({ servers: named("old", "anna") });
    await expect.poll(() => old.servers()[0]?.version).toBeDefined();
    takes("new");
    for (const move of ["fetchFile", "objectInfo", "upload"] as const) {
      const session = await browser.openPage().connect({ servers: named("new", "anna") });
      const moved = {
        fetchFile: () => session.fetchFile(file(main)),
        objectInfo: () => session.objectInfo(),
        upload: () => session.upload(new Blob(["x"])),
      }[move]();
      expect([move, await codeOf(moved)]).toEqual([move, "resolved"]);
    }
  });

  test("has its prompt sent with it at once, and is asked for no other", async () => {
    const old = await browser.openPage().connect({ servers: named("old", "anna") });
    await expect.poll(() => old.servers()[0]?.version).toBeDefined();
    takes("new");
    const session = await browser.openPage().connect({ servers: named("new", "anna") });
    const asked: string[] = [];
    session.on("auth-required", ({ serverId }) => asked.push(serverId));
    await isAt(await session.submit(workflow), "queued");
    expect(asked).toEqual([]);
  });
});

describe("a token in an address", () => {
  test("goes to the address of its own server only", async () => {
    const auth = { type: "query" as const, token: "secret" };
    const session = await browser.openPage().connect({ servers: [{ id: "gpu", url: two, auth }] });
    expect(session.viewUrl(file(two, "gpu"), { withToken: true })).toContain("secret");
    expect(session.viewUrl(file("http://former.test", "gpu"), { withToken: true })).not.toContain("secret");
  });
});

describe("credentials", () => {
  test("are the same whatever order their fields have", async () => {
    const page = browser.openPage();
    await page.connect({ servers: [{ url: main, auth: { type: "bearer", token: "t" } }] });
    const again = page.connect({ servers: [{ url: main, auth: { token: "t", type: "bearer" } }] });
    expect(await codeOf(again)).toBe("resolved");
  });

  test("that an object says by toJSON do not shut the page out of its next host", async () => {
    const session = await browser.openPage().connect();
    class Login {
      #token = "t";
      toJSON() {
        return bearer(this.#token);
      }
    }
    await session.setAuth(main, new Login() as never);
    browser.killWorkers();
    expect((await session.diagnostics()).epoch).toBe("epoch-2");
  }, 8_000);

  test("with a long user's name do not shut the page out of its next host", async () => {
    const session = await browser.openPage().connect();
    const auth = { type: "basic" as const, username: "u".repeat(600), password: "" };
    await session.setAuth(main, auth).catch(() => {});
    browser.killWorkers();
    expect((await session.diagnostics()).epoch).toBe("epoch-2");
  }, 8_000);

  test("are those of the call, whatever the app does with its object later", async () => {
    const auth = { type: "bearer" as const, token: "t", account: "anna" };
    const session = await browser.openPage().connect({ servers: [{ url: main, auth }] });
    auth.token = "";
    browser.killWorkers();
    await isAt(await session.submit(workflow), "queued");
    expect(tokens()).toEqual(["Bearer t"]);
  });
});
