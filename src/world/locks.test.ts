import { describe, expect, test } from "vitest";
import { createLocks } from "./locks.ts";

const forEver = () => new Promise<void>(() => {});

describe("the locks of an origin", () => {
  test("are given to one at a time, in turn, and never during the call that asks", async () => {
    const { openRealm } = createLocks();
    const { locks } = openRealm();
    const heard: string[] = [];
    let release = (): void => {};
    const first = locks.request("a", () => {
      heard.push("first");
      return new Promise<void>((resolve) => {
        release = resolve;
      });
    });
    const second = locks.request("a", () => void heard.push("second"));
    expect(heard).toEqual([]);
    await locks.request("b", () => void heard.push("other"));
    expect(heard).toEqual(["first", "other"]);
    release();
    await Promise.all([first, second]);
    expect(heard).toEqual(["first", "other", "second"]);
  });

  test("are shared where all want that, and taken from all at once", async () => {
    const { locks } = createLocks().openRealm();
    const heard: string[] = [];
    const share = (who: string) =>
      locks.request("a", { mode: "shared" }, forEver).catch(() => heard.push(`${who} is robbed`));
    const [anna, ben] = [share("anna"), share("ben")];
    await locks.request("a", { mode: "shared", ifAvailable: true }, (lock) => void heard.push(typeof lock));
    await locks.request("a", { ifAvailable: true }, (lock) => void heard.push(String(lock)));
    void locks.request("a", { steal: true }, forEver);
    await Promise.all([anna, ben]);
    await locks.request("a", { mode: "shared", ifAvailable: true }, (lock) => void heard.push(String(lock)));
    expect(heard).toEqual(["object", "null", "anna is robbed", "ben is robbed", "null"]);
  });

  test("go to the next when their holder's realm dies, together with what it waited for", async () => {
    const { openRealm, isHeld, waitingFor } = createLocks();
    const [anna, ben] = [openRealm(), openRealm()];
    void anna.locks.request("a", forEver);
    void anna.locks.request("a", forEver);
    const granted = ben.locks.request("a", () => {});
    await Promise.resolve();
    expect([isHeld("a"), waitingFor("a")]).toEqual([true, 2]);
    anna.die();
    await granted;
    await Promise.resolve();
    expect([isHeld("a"), waitingFor("a")]).toEqual([false, 0]);
  });

  test("are not given to who has stopped to wait, and not taken from who has them", async () => {
    const { openRealm, isHeld } = createLocks();
    const { locks } = openRealm();
    const controller = new AbortController();
    void locks.request("a", { signal: controller.signal }, forEver);
    const waiting = locks.request("a", { signal: controller.signal }, () => {});
    await Promise.resolve();
    controller.abort();
    await expect(waiting).rejects.toThrow("aborted");
    expect(isHeld("a")).toBe(true);
  });

  test("say what the one who had them threw", async () => {
    const { locks } = createLocks().openRealm();
    const thrown = locks.request("a", () => {
      throw new Error("broken");
    });
    await expect(thrown).rejects.toThrow("broken");
    await locks.request("a", () => {});
  });
});
