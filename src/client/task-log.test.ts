import { describe, expect, test } from "vitest";
import type { PortTaskEvent, TaskSnapshot } from "../protocol/tasks.ts";
import type { TaskEvent } from "./api.ts";
import { createTaskLog, type TaskLog } from "./task-log.ts";

type Told = PortTaskEvent extends infer E ? (E extends unknown ? Omit<E, "taskId" | "at"> : never) : never;

const event = (told: Told): PortTaskEvent => ({ ...told, taskId: "task-1", at: 0 }) as PortTaskEvent;
const accepted = event({ seq: 1, type: "accepted", serverId: "main", promptId: "prompt-1" });
const started = event({ seq: 2, type: "started" });
const progress = (seq: number): PortTaskEvent =>
  event({ seq, type: "progress", nodeId: "1", value: seq, max: 100 });
const succeeded = (seq: number): PortTaskEvent =>
  event({
    seq,
    type: "succeeded",
    result: { taskId: "task-1", promptId: "prompt-1", serverId: "main", outputs: {}, files: [] },
  });

function startLog() {
  const warnings: unknown[][] = [];
  const log = createTaskLog({ debug() {}, warn: (...said) => warnings.push(said) });
  const take = (...events: PortTaskEvent[]) => events.map((one) => log.take(one));
  return { log, take, warnings };
}

/** What is left to read, until the events end. */
async function rest(iterator: AsyncIterator<TaskEvent>): Promise<string[]> {
  const seen: string[] = [];
  for (let next = await iterator.next(); !next.done; next = await iterator.next())
    seen.push(next.value.type === "progress" ? `progress ${next.value.value}` : next.value.type);
  return seen;
}

const snapshot = (log: Partial<TaskSnapshot>): TaskSnapshot => ({
  taskId: "task-1",
  label: undefined,
  promptId: "prompt-1",
  serverId: "main",
  status: "queued",
  seq: 0,
  createdAt: 0,
  events: [],
  ...log,
});

const isOver = (log: TaskLog): Promise<void> =>
  new Promise((resolve) => {
    log.whenOver(resolve);
  });

describe("an iterator", () => {
  test("that starts late is told what is retained, and only the newest of the rest", async () => {
    const { log, take } = startLog();
    take(accepted, started, progress(3), progress(4));
    const iterator = log.iterate();
    take(progress(5), succeeded(6));
    expect(await rest(iterator)).toEqual(["accepted", "started", "progress 5", "succeeded"]);
    expect(await rest(log.iterate())).toEqual(["accepted", "started", "succeeded"]);
  });

  test("goes at its own pace, whatever others have read", async () => {
    const { log, take } = startLog();
    const [eager, lazy] = [log.iterate(), log.iterate()];
    const early = rest(eager);
    for (const one of [accepted, started, progress(3), progress(4), succeeded(5)]) {
      take(one);
      await Promise.resolve();
    }
    expect(await early).toEqual(["accepted", "started", "progress 3", "progress 4", "succeeded"]);
    expect(await rest(lazy)).toEqual(["accepted", "started", "progress 4", "succeeded"]);
  });

  test("answers all who asked before anything came, in turn", async () => {
    const { log, take } = startLog();
    const iterator = log.iterate();
    const asked = [iterator.next(), iterator.next(), iterator.next()];
    take(accepted, succeeded(2));
    expect((await Promise.all(asked)).map(({ value }) => value?.type)).toEqual([
      "accepted",
      "succeeded",
      undefined,
    ]);
  });

  test("that is left early ends, also for who still waits for it", async () => {
    const { log, take } = startLog();
    take(accepted, started);
    for await (const { type } of { [Symbol.asyncIterator]: () => log.iterate() }) {
      expect(type).toBe("accepted");
      break;
    }
    const iterator = log.iterate();
    await iterator.next();
    await iterator.next();
    const waiting = iterator.next();
    await iterator.return?.();
    expect(await waiting).toEqual({ done: true, value: undefined });
    take(progress(3));
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    const unread = log.iterate();
    await unread.return?.();
    expect(await unread.next()).toEqual({ done: true, value: undefined });
  });

  test("ends when the task is dismissed or the session closed, after what was there", async () => {
    for (const why of ["dismissed", "closed"] as const) {
      const { log, take } = startLog();
      const [iterator, waiting] = [log.iterate(), rest(log.iterate())];
      take(accepted);
      log.end(why);
      expect([await rest(iterator), await waiting, log.over]).toEqual([["accepted"], ["accepted"], why]);
    }
  });
});

describe("a listener", () => {
  test("is told what has happened, then what comes, but not during the call that adds it", async () => {
    const { log, take } = startLog();
    take(accepted, started, progress(3), progress(4));
    const heard: number[] = [];
    log.on("progress", ({ value }: Extract<TaskEvent, { type: "progress" }>) => heard.push(value));
    expect(heard).toEqual([]);
    take(progress(5));
    await Promise.resolve();
    take(progress(6));
    expect(heard).toEqual([5, 6]);
  });

  test("that throws is reported, and the others hear on", async () => {
    const { log, take, warnings } = startLog();
    let heard = 0;
    log.on("started", () => {
      throw new Error("my own fault");
    });
    log.on("started", () => {
      heard += 1;
    });
    await Promise.resolve();
    take(accepted, started);
    expect([heard, log.status]).toEqual([1, "running"]);
    expect(warnings).toEqual([["a listener of", "started", "failed:", new Error("my own fault")]]);
  });

  test("that has ended hears nothing more, neither news nor what is left of the replay", async () => {
    const { log, take } = startLog();
    const warning = (seq: number, nodeId: string): PortTaskEvent =>
      event({ seq, type: "warning", code: "stalled", message: "…", nodeId });
    take(warning(1, "1"), warning(2, "2"));
    let heard = 0;
    const end = log.on("warning", () => {
      heard += 1;
      end();
    });
    await Promise.resolve();
    take(warning(3, "3"));
    expect(heard).toBe(1);
  });

  test("that comes after the ending still hears of it", async () => {
    const { log, take } = startLog();
    take(accepted, succeeded(2));
    const heard: string[] = [];
    log.on("succeeded", ({ type }: TaskEvent) => heard.push(type));
    await Promise.resolve();
    expect(heard).toEqual(["succeeded"]);
  });
});

describe("what a page knows of a task", () => {
  test("ignores news that it knows, and everything after the ending", () => {
    const { log, take } = startLog();
    expect(take(accepted, progress(5), started, succeeded(6), progress(7))).toEqual([
      true,
      true,
      false,
      true,
      false,
    ]);
    expect([log.lastSeq, log.status]).toEqual([6, "succeeded"]);
  });

  test("takes a snapshot's events and its state, but never goes back", () => {
    const { log, take } = startLog();
    take(accepted, started, progress(3));
    log.takeSnapshot(snapshot({ status: "queued", seq: 2, events: [accepted, started] }));
    expect([log.status, log.lastSeq]).toEqual(["running", 3]);
    log.takeSnapshot(snapshot({ status: "running", seq: 8, events: [accepted, started, progress(7)] }));
    expect([log.progress?.value, log.lastSeq]).toEqual([7, 8]);
  });

  test("has an error with its code for a task that failed, and a picture with the type of its bytes", async () => {
    const { log, take } = startLog();
    const png = new Uint8Array([0x89, 0x50, 0x4e, 0x47]).buffer;
    const iterator = log.iterate();
    take(event({ seq: 1, type: "preview", nodeId: "1", image: png }));
    take(
      event({
        seq: 2,
        type: "failed",
        error: { code: "unauthorized", message: "No.", details: { status: 401 } },
      }),
    );
    const { value: preview } = await iterator.next();
    expect(preview).toMatchObject({ type: "preview", image: { type: "image/png", size: 4 } });
    expect(log.ending).toMatchObject({ error: { name: "ComfyTabsError", code: "unauthorized" } });
  });

  test("wakes who waits for its end, once, and not who has stopped to wait", async () => {
    const { log, take } = startLog();
    let woken = 0;
    const stop = log.whenOver(() => {
      woken += 1;
    });
    stop();
    const over = isOver(log);
    take(accepted, succeeded(2));
    await over;
    log.end("closed");
    await isOver(log);
    expect([woken, log.over]).toEqual([0, "ended"]);
  });
});
