// @vitest-environment happy-dom
import { afterEach, expect, test, vi } from "vitest";
import type { ServerSnapshot, Session } from "../client/index.ts";
import { Announcer } from "./announcer.ts";
import { ServerList } from "./server-list.ts";

afterEach(() => vi.unstubAllGlobals());

test("a simulator that cannot be reached is told of in words", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  const announcer = new Announcer();
  const list = new ServerList({} as Session, announcer, true);
  list.show([{ id: "alder", url: "http://127.0.0.1:1", connection: "open" } as ServerSnapshot]);
  list.view.querySelector<HTMLElement>("[data-testid=power]")?.click();
  await expect.poll(() => announcer.view.textContent).toBe("That did not work");
});

test("a lock that cannot be let go of is told of in words", async () => {
  const announcer = new Announcer();
  const release = () => Promise.reject(new Error("No answer from the host in 30 s."));
  const lockServer = async () => ({ serverIds: ["alder"], lost: new Promise<void>(() => {}), release });
  const list = new ServerList({ lockServer } as unknown as Session, announcer, false);
  list.show([{ id: "alder", url: "http://127.0.0.1:1", connection: "open" } as ServerSnapshot]);
  const press = (name: string) => list.view.querySelector<HTMLElement>(`[data-testid=${name}]`)?.click();
  press("lock-exclusive");
  await expect.poll(() => announcer.view.textContent).toBe("alder locked");
  press("unlock");
  await expect.poll(() => announcer.view.textContent).toContain("No answer");
});
