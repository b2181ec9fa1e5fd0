import type { Page } from "@playwright/test";
import type { ConnectOptions } from "../src/client/index.ts";
import { isSettled, type TaskStatus } from "../src/protocol/tasks.ts";
import type { Simulator } from "../src/simulator/http-server.ts";
import { test as base, expect, type Tab, tabOn } from "./fixtures.ts";
import { buildRelease, type Release, type ReleaseName } from "./releases/build.ts";
import { type Deployment, fixedWorker, startDeployment } from "./releases/deployment.ts";
import { portrait } from "./workflows.ts";

type Releases = (name: ReleaseName) => Promise<Release>;

interface Fixtures {
  readonly deploy: (name: ReleaseName, alone?: "alone") => Promise<void>;
  readonly deployment: Deployment;
  /** Loads whatever is deployed into a new tab, or anew into one that is there. */
  readonly load: (page?: Page, options?: Partial<ConnectOptions>) => Promise<Tab>;
  /** How the page finds its worker: at one address for all releases, or at one that each has its own. */
  readonly worker: "fixed" | "hashed";
}

const test = base.extend<Fixtures, { release: Releases }>({
  release: [
    async ({ served: _ }, use) => {
      const built = new Map<ReleaseName, Promise<Release>>();
      await use((name) => {
        const release = built.get(name) ?? buildRelease(name);
        built.set(name, release);
        return release;
      });
      for (const release of built.values()) (await release).remove();
    },
    { scope: "worker" },
  ],
  worker: ["hashed", { option: true }],
  deployment: async ({ browserName: _ }, use) => {
    const deployment = await startDeployment();
    await use(deployment);
    await deployment.close();
  },
  deploy: async ({ deployment, release }, use) => {
    await use(async (name, alone) => deployment.deploy(await release(name), alone));
  },
  load: async ({ context, deployment, comfy, worker }, use) => {
    await use(async (known, more) => {
      const page = known ?? (await context.newPage());
      await page.goto(deployment.page);
      await page.waitForFunction(() => window.tab !== undefined);
      const options = {
        servers: [comfy.url],
        ...more,
        ...(worker === "fixed" ? { worker: fixedWorker } : {}),
      };
      const { tabId } = await page.evaluate((given) => window.tab.open(given), options);
      return tabOn(page, tabId);
    });
  },
});

const hostOf = async ({ page }: Tab): Promise<string> =>
  (await page.evaluate(() => window.tab.session().diagnostics())).build;

/** More than a host has at one server at a time. */
async function submitFive(tab: Tab): Promise<string[]> {
  const taskIds: string[] = [];
  while (taskIds.length < 5) taskIds.push(await tab.submit(portrait()));
  return taskIds;
}

/** The first of them runs, and goes on when the server is told to. */
async function submitAndHold(tab: Tab, comfy: Simulator): Promise<string[]> {
  comfy.hold({ after: "execution_start" });
  const running = await tab.submit(portrait());
  await tab.page.evaluate((taskId) => window.tab.until(taskId, "started"), running);
  return [running, ...(await submitFive(tab))];
}

async function endings(tab: Tab, taskIds: readonly string[]): Promise<string[]> {
  return (await Promise.all(taskIds.map((taskId) => tab.ending(taskId)))).map(({ type }) => type);
}

const allSucceed = (taskIds: readonly string[]) => taskIds.map(() => "succeeded");

/** The server's own account: each task ran once, and no two sockets had one client id at a time. */
async function expectNoHarm(comfy: Simulator, tabs: readonly Tab[], tasks: number): Promise<void> {
  expect(comfy.log.prompts.map(({ ending }) => ending)).toHaveLength(tasks);
  expect(comfy.log.prompts.filter(({ startedAt }) => startedAt === undefined)).toEqual([]);
  const { sockets } = comfy.log;
  for (const one of sockets)
    for (const other of sockets)
      if (one.id < other.id && one.clientId === other.clientId)
        expect(one.closedAt ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(other.openedAt);
  for (const tab of tabs) {
    const ended = (await tab.heard())
      .filter((event) => isSettled(event.type as TaskStatus))
      .map(({ taskId }) => taskId);
    expect(ended).toHaveLength(new Set(ended).size);
  }
}

/** Nobody tells the tabs. */
async function killWorker(tab: Tab): Promise<void> {
  const cdp = await tab.page.context().browser()?.newBrowserCDPSession();
  const { targetInfos } =
    (await cdp?.send("Target.getTargets", { filter: [{ type: "shared_worker" }] })) ?? {};
  expect(targetInfos).toHaveLength(1);
  for (const { targetId } of targetInfos ?? []) await cdp?.send("Target.closeTarget", { targetId });
  await cdp?.detach();
}

test.describe("with the worker at one address", () => {
  test.use({ worker: "fixed" });

  test("an old tab goes on with a new worker when its own has died", async ({ comfy, deploy, load }) => {
    await deploy("old");
    const anna = await load();
    const tasks = await submitAndHold(anna, comfy);
    expect(await hostOf(anna)).toBe("old");
    await deploy("next");
    await killWorker(anna);
    await expect.poll(() => hostOf(anna), { timeout: 15_000 }).toBe("next");
    comfy.release();
    expect(await endings(anna, tasks)).toEqual(allSucceed(tasks));
    await expectNoHarm(comfy, [anna], tasks.length);
  });

  test("a new tab works with the old worker, and so does an old tab that is loaded anew", async ({
    comfy,
    deploy,
    load,
  }) => {
    await deploy("old");
    const before = await load();
    const annas = await submitAndHold(before, comfy);
    await deploy("next");
    const ben = await load();
    const bens = await submitFive(ben);
    const anna = await load(before.page);
    expect([await hostOf(anna), await hostOf(ben), anna.tabId]).toEqual(["old", "old", before.tabId]);
    comfy.release();
    expect(await endings(anna, annas)).toEqual(allSucceed(annas));
    expect(await endings(ben, bens)).toEqual(allSucceed(bens));
    expect(comfy.log.sockets).toHaveLength(1);
    await expectNoHarm(comfy, [anna, ben], annas.length + bens.length);
  });
});

for (const [name, what] of [
  ["next", "with another worker"],
  ["major", "of another major version"],
  ["schema", "that journals elsewhere"],
] as const)
  test(`a tab that is loaded anew takes its open tasks along into a release ${what}`, async ({
    comfy,
    deploy,
    load,
  }) => {
    await deploy("old");
    const [before, ben] = [await load(), await load()];
    const [annas, bens] = [await submitAndHold(before, comfy), await submitFive(ben)];
    await deploy(name);
    const anna = await load(before.page);
    expect([await hostOf(anna), await hostOf(ben), anna.tabId]).toEqual([name, "old", before.tabId]);
    comfy.release();
    expect(await endings(anna, annas)).toEqual(allSucceed(annas));
    expect(await endings(ben, bens)).toEqual(allSucceed(bens));
    await expectNoHarm(comfy, [anna, ben], annas.length + bens.length);
  });

for (const [name, what] of [
  ["next", "with another worker"],
  ["major", "of another major version"],
] as const)
  test(`a tab finds the endings that it has not dismissed in a release ${what}`, async ({
    comfy,
    deploy,
    load,
  }) => {
    await deploy("old");
    const before = await load();
    const tasks = [await before.submit(portrait()), await before.submit(portrait())];
    expect(await endings(before, tasks)).toEqual(allSucceed(tasks));
    await deploy(name);
    const anna = await load(before.page);
    expect(await hostOf(anna)).toBe(name);
    expect(await endings(anna, tasks)).toEqual(allSucceed(tasks));
    await expectNoHarm(comfy, [anna], tasks.length);
  });

test("a release that journals elsewhere shows no ending from before it, and when it is taken back all are there", async ({
  comfy,
  deploy,
  load,
}) => {
  const listed = ({ page }: Tab): Promise<string[]> =>
    page.evaluate(() =>
      window.tab
        .session()
        .tasks()
        .map(({ id }) => id),
    );
  await deploy("old");
  const before = await load();
  const ended = await before.submit(portrait());
  expect(await endings(before, [ended])).toEqual(["succeeded"]);
  const open = await submitAndHold(before, comfy);
  await deploy("schema");
  const between = await load(before.page);
  expect([await hostOf(between), (await listed(between)).sort()]).toEqual(["schema", [...open].sort()]);
  comfy.release();
  expect(await endings(between, open)).toEqual(allSucceed(open));
  await deploy("old");
  const after = await load(between.page);
  const all = [ended, ...open];
  expect([await hostOf(after), (await listed(after)).sort()]).toEqual(["old", [...all].sort()]);
  expect(await endings(after, all)).toEqual(allSucceed(all));
  await expectNoHarm(comfy, [after], all.length);
});

test("a tab whose worker has died, and is not to be had any more, finds its tasks in the next release", async ({
  comfy,
  deploy,
  load,
}) => {
  await deploy("old");
  const before = await load();
  const tasks = await submitAndHold(before, comfy);
  await deploy("next", "alone");
  await killWorker(before);
  await expect.poll(() => comfy.log.sockets.filter(({ closedAt }) => closedAt === undefined)).toEqual([]);
  comfy.release();
  const anna = await load(before.page);
  expect([await hostOf(anna), anna.tabId]).toEqual(["next", before.tabId]);
  expect(await endings(anna, tasks)).toEqual(allSucceed(tasks));
  await expectNoHarm(comfy, [anna], tasks.length);
});

test("an old host that cancels the tasks of a tab that is gone leaves those that have gone on into the next release", async ({
  comfy,
  deploy,
  load,
}) => {
  const hasty = { whenTabGone: { cancelAfterMs: 1_000 } };
  await deploy("old");
  const [before, ben, carla] = [await load(undefined, hasty), await load(), await load(undefined, hasty)];
  const annas = await submitAndHold(before, comfy);
  await carla.submit(portrait());
  await deploy("major");
  const anna = await load(before.page, hasty);
  // It counts down for carla after it did for anna.
  await carla.page.close();
  const cancelled = () => comfy.log.prompts.filter(({ removed }) => removed === "cancelled");
  await expect.poll(cancelled, { timeout: 10_000 }).toHaveLength(1);
  expect([await hostOf(anna), await hostOf(ben)]).toEqual(["major", "old"]);
  comfy.release();
  expect(await endings(anna, annas)).toEqual(allSucceed(annas));
  expect(comfy.log.prompts).toHaveLength(annas.length + 1);
});
