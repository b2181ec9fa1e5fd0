import { expect } from "@playwright/test";
import type { HostMode } from "../../src/protocol/session-api.ts";
import type { Simulator } from "../../src/simulator/http-server.ts";
import type { OpenInEngine } from "../pages/engine.ts";
import { portrait, talking } from "../workflows.ts";
import type { EngineName } from "./engine.ts";
import type { Seat } from "./seat.ts";

/** `insecure`: a plain `http://` address that is not this machine's own, as on a LAN. There are no Web Locks. */
export type Place = "secure" | "insecure";

export interface World {
  readonly engineName: EngineName;
  readonly mode: HostMode;
  readonly place: Place;
  readonly comfy: Simulator;
  /** A tab that has connected, by default in the mode of this run. */
  open(options?: Partial<OpenInEngine> & { readonly copyOf?: Seat }): Promise<Seat>;
}

export interface Scenario {
  /** Reads on from "a tab in shared mode, …". */
  readonly name: string;
  readonly run: (world: World) => Promise<void>;
  /** Where the short form runs it. Default: nowhere. */
  readonly short?: readonly [HostMode, Place];
  readonly needs?: "crash";
  /** Milliseconds. Default: a minute. */
  readonly lasts?: number;
  /** Elsewhere it cannot hold, for a reason in the README's support table. Default: everywhere. */
  readonly holdsIn?: (mode: HostMode, place: Place) => boolean;
}

const patience = { timeout: 30_000 };
/** Without Web Locks a dead host is noticed by its silence: 30 s until it is asked, 120 s until that has told. */
const silence = { timeout: 180_000 };

const long = (tag: string) => portrait({ tag, steps: 60, delayMs: 50 });
/** Holds the server until it is cancelled. */
const endless = (tag: string) => portrait({ tag, steps: 20_000, delayMs: 50 });

const opened = (comfy: Simulator): number => comfy.sockets.length;

async function isRunning(seat: Seat, task: string): Promise<void> {
  await expect.poll(() => seat.statusOf(task), patience).toBe("running");
}

async function ends(seat: Seat, task: string, how: string, wait = patience): Promise<void> {
  await expect.poll(() => seat.endingsOf(task), wait).toEqual([how]);
}

const runsOf = (comfy: Simulator): number => comfy.log.prompts.length;

export const scenarios: readonly Scenario[] = [
  {
    name: "shares one socket with the other tabs, or has its own",
    short: ["shared", "secure"],
    async run({ mode, comfy, open }) {
      const seats = [await open(), await open(), await open()];
      const tasks = await Promise.all(seats.map((seat, at) => seat.submit(portrait(), `of ${at}`)));
      for (const [at, seat] of seats.entries()) await ends(seat, tasks[at] as string, "succeeded");
      expect(opened(comfy)).toBe(mode === "shared" ? 1 : 3);
      const hosts = await Promise.all(seats.map((seat) => seat.diagnostics()));
      expect(new Set(hosts.map(({ epoch }) => epoch)).size).toBe(mode === "shared" ? 1 : 3);
      // Whatever this engine's storage could not do would have sent them to memory.
      expect(new Set(hosts.map(({ journal }) => journal))).toEqual(new Set(["indexeddb"]));
      expect(new Set(seats.map(({ tabId }) => tabId)).size).toBe(3);
      expect(runsOf(comfy)).toBe(3);
    },
  },
  {
    name: "hears and sees of its own tasks only, also of frames that name no task",
    short: ["shared", "secure"],
    async run({ open }) {
      const seats = [await open(), await open()];
      const tasks = await Promise.all(
        seats.map(async (seat, at) => [
          await seat.submit(talking(`words of ${at}`, { previewSize: 64 }), "talks"),
          await seat.submit(portrait(), "shows"),
        ]),
      );
      for (const [at, seat] of seats.entries())
        for (const task of tasks[at] as string[]) await ends(seat, task, "succeeded");
      for (const [at, seat] of seats.entries()) {
        const { heard, tasks: listed } = await seat.state();
        expect(new Set(heard.map(({ taskId }) => taskId))).toEqual(new Set(tasks[at]));
        expect(listed.map(({ id }) => id).sort()).toEqual([...(tasks[at] as string[])].sort());
        expect(heard.flatMap(({ text }) => text ?? [])).toEqual([`words of ${at}`]);
        expect(heard.some(({ type }) => type === "preview")).toBe(true);
      }
    },
  },
  {
    name: "finds its running task after a reload, as the only tab and as one of two",
    short: ["shared", "secure"],
    async run({ comfy, open }) {
      const anna = await open();
      const first = await anna.submit(long("alone"), "alone");
      await isRunning(anna, first);
      await anna.reload();
      expect((await anna.state()).tasks).toEqual([
        expect.objectContaining({
          id: first,
          label: "alone",
          status: expect.stringMatching(/queued|running/),
        }),
      ]);
      await ends(anna, first, "succeeded");
      const ben = await open();
      const second = await anna.submit(long("of two"), "of two");
      await isRunning(anna, second);
      await anna.reload();
      await ends(anna, second, "succeeded");
      await ends(anna, first, "succeeded");
      expect((await ben.state()).heard).toEqual([]);
      expect(runsOf(comfy)).toBe(2);
    },
  },
  {
    name: "keeps its host over a reload as the only tab in Chromium, and has another one elsewhere",
    holdsIn: (mode, place) => mode === "shared" && place === "secure",
    async run({ engineName, open }) {
      const anna = await open();
      const { epoch } = await anna.diagnostics();
      await anna.reload();
      expect((await anna.diagnostics()).epoch === epoch).toBe(engineName === "chromium");
    },
  },
  {
    name: "has its tasks cancelled when it is closed for good, and nobody else's",
    // A tab that is alone takes its worker along: who cancels is another tab's worker, some time later.
    holdsIn: (mode) => mode === "shared",
    async run({ comfy, open }) {
      const anna = await open({ whenTabGone: { cancelAfterMs: 500 } });
      const ben = await open();
      const gone = await anna.submit(endless("closed"), "closed");
      await isRunning(anna, gone);
      const stays = await ben.submit(portrait(), "stays");
      await anna.close();
      await ends(ben, stays, "succeeded");
      expect(runsOf(comfy)).toBe(2);
    },
  },
  {
    name: "is noticed when it crashes, and its tasks go on without it",
    needs: "crash",
    holdsIn: (mode, place) => mode === "shared" && place === "secure",
    async run({ comfy, open }) {
      const ben = await open();
      const anna = await open({ whenTabGone: { cancelAfterMs: 500 } });
      const gone = await anna.submit(endless("crashed"), "crashed");
      await isRunning(anna, gone);
      const stays = await ben.submit(portrait(), "stays");
      await anna.crash();
      await ends(ben, stays, "succeeded");
      expect(runsOf(comfy)).toBe(2);
    },
  },
  {
    name: "is still itself when it comes back from a crash, with the task that ran",
    needs: "crash",
    short: ["shared", "insecure"],
    async run({ comfy, open }) {
      await open(); // keeps a shared host alive
      const anna = await open();
      const task = await anna.submit(long("crashed"), "crashed");
      await isRunning(anna, task);
      const { tabId } = anna;
      await anna.crash();
      await anna.reload();
      expect(anna.tabId).toBe(tabId);
      await ends(anna, task, "succeeded");
      expect(runsOf(comfy)).toBe(1);
    },
  },
  {
    name: "has its server locked no longer when it crashed and has been silent for minutes, while its task goes on",
    needs: "crash",
    holdsIn: (mode, place) => mode === "shared" && place === "insecure",
    lasts: 500_000,
    async run({ comfy, open }) {
      const ben = await open();
      const anna = await open({ whenTabGone: { cancelAfterMs: 500 } });
      const task = await anna.submit(portrait({ tag: "crashed", steps: 9_000, delayMs: 50 }), "crashed");
      await isRunning(anna, task);
      expect(await anna.lock(comfy.url)).toBe(true);
      await anna.crash();
      expect(await ben.lock(comfy.url)).toBe(false);
      await expect.poll(() => ben.lock(comfy.url), { timeout: 420_000, intervals: [5_000] }).toBe(true);
      await anna.reload();
      expect(await anna.statusOf(task)).toBe("running");
      expect(await anna.cancel(task)).toBe(true);
      await ends(anna, task, "cancelled");
      expect(runsOf(comfy)).toBe(1);
    },
  },
  {
    name: "is another tab than its copy",
    short: ["shared", "insecure"],
    async run({ open }) {
      const anna = await open();
      const task = await anna.submit(long("original"), "original");
      const copy = await open({ copyOf: anna });
      expect(copy.tabId).not.toBe(anna.tabId);
      expect((await copy.state()).tasks).toEqual([]);
      const own = await copy.submit(portrait(), "copy");
      await ends(copy, own, "succeeded");
      await ends(anna, task, "succeeded");
      expect((await copy.state()).heard.map(({ taskId }) => taskId)).not.toContain(task);
    },
  },
  {
    name: "goes on at the next host when its worker dies",
    short: ["shared", "secure"],
    holdsIn: (_, place) => place === "secure",
    run: (world) => survivesItsWorker(world, patience),
  },
  {
    name: "goes on at the next host when its worker has been silent for minutes",
    holdsIn: (_, place) => place === "insecure",
    lasts: 300_000,
    run: (world) => survivesItsWorker(world, silence),
  },
  {
    name: "takes its task along to the other mode, across a reload",
    async run({ mode, comfy, open }) {
      const other = mode === "shared" ? "solo" : "shared";
      const anna = await open();
      const done = await anna.submit(portrait(), "done");
      await ends(anna, done, "succeeded");
      const task = await anna.submit(long("moves"), "moves");
      await isRunning(anna, task);
      await anna.reload({ mode: other });
      expect((await anna.diagnostics()).mode).toBe(other);
      expect((await anna.state()).tasks.map(({ label }) => label)).toEqual(["done", "moves"]);
      await ends(anna, task, "succeeded");
      await ends(anna, done, "succeeded");
      expect(runsOf(comfy)).toBe(2);
    },
  },
  {
    name: "has a host of its own where there is no SharedWorker or it does not load, and is told why",
    short: ["solo", "secure"],
    holdsIn: (mode) => mode === "solo",
    async run({ comfy, open }) {
      for (const [shared, reason] of [
        ["missing", /no SharedWorker/],
        ["broken", /could not be loaded/],
      ] as const) {
        const seat = await open({ mode: "auto", shared });
        const { mode, reason: why } = await seat.diagnostics();
        expect([mode, why]).toEqual(["solo", expect.stringMatching(reason)]);
        const { modes, warnings } = await seat.state();
        expect(modes).toEqual([
          expect.objectContaining({ mode: "solo", reason: expect.stringMatching(reason) }),
        ]);
        expect(warnings).toEqual([expect.stringMatching(reason)]);
        await ends(seat, await seat.submit(portrait(), shared), "succeeded");
      }
      expect(opened(comfy)).toBe(2);
    },
  },
];

async function survivesItsWorker({ comfy, open }: World, wait: { timeout: number }): Promise<void> {
  const [anna, ben] = [await open(), await open()];
  const task = await anna.submit(long("survives"), "survives");
  await isRunning(anna, task);
  const before = (await anna.diagnostics()).epoch;
  await anna.endWorkers();
  await expect.poll(async () => (await anna.state()).modes.at(-1)?.epoch, wait).not.toBe(before);
  await ends(anna, task, "succeeded", wait);
  await ends(ben, await ben.submit(portrait(), "next"), "succeeded", wait);
  expect(runsOf(comfy)).toBe(2);
}
