import { expect, type Tab, test } from "./fixtures.ts";
import { blocked, failing, picture, portrait, talking } from "./workflows.ts";

type Endless = "stopped" | "stubborn" | "withdrawn";
type Role = "cached" | "drawn" | "saved" | "told" | "blocked" | "failed" | Endless;

/** How a task ends for its owner, and with what in the server's history: nothing, where it never ran. */
const endings: Record<Role, { told: string; kept: string | undefined }> = {
  cached: { told: "succeeded", kept: "execution_success" },
  drawn: { told: "succeeded", kept: "execution_success" },
  saved: { told: "succeeded", kept: "execution_success" },
  told: { told: "succeeded", kept: "execution_success" },
  blocked: { told: "succeeded", kept: "execution_success" },
  failed: { told: "failed", kept: "execution_error" },
  stopped: { told: "cancelled", kept: "execution_interrupted" },
  /** Before 0.3.57 no running prompt can be stopped alone, so it runs to its end. */
  stubborn: { told: "succeeded", kept: "execution_success" },
  withdrawn: { told: "cancelled", kept: undefined },
};

const warnings: Partial<Record<Role, string[]>> = {
  blocked: ["node-blocked"],
  stubborn: ["cancel-unsupported"],
};

interface Work {
  readonly role: Role;
  readonly workflow: object;
  /** No two workflows have the same: the size of a picture tells whose it is. */
  readonly previewSize: number;
}

interface OwnTask extends Work {
  readonly taskId: string;
}

let lastSize = 20;
function work(role: Role, make: (previewSize: number) => object): Work {
  lastSize += 4;
  return { role, previewSize: lastSize, workflow: make(lastSize) };
}

const drawn = (preview: string) => work("drawn", (previewSize) => portrait({ preview, previewSize }));
const endless = (role: Endless) =>
  work(role, (previewSize) =>
    portrait({ steps: role === "stubborn" ? 300 : 2000, delayMs: 20, previewSize }),
  );
const wordsOf = (at: number) => `words of tab ${at}`;

const until = (tab: Tab, taskId: string, type: "accepted" | "preview") =>
  tab.page.evaluate(([id, wanted]) => window.tab.until(id, wanted), [taskId, type] as const);
const cancel = (tab: Tab, taskId: string) => tab.page.evaluate((id) => window.tab.cancel(id), taskId);

/** Ten tasks of each tab, of all roles. @returns them by tab, when all that is to be cancelled has been */
async function submitAll(tabs: readonly Tab[], long: "stopped" | "stubborn"): Promise<OwnTask[][]> {
  const owned: OwnTask[][] = tabs.map(() => []);
  const submit = async (at: number, one: Work): Promise<OwnTask> => {
    const task = { ...one, taskId: (await tabs[at]?.submit(one.workflow)) ?? "" };
    owned[at]?.push(task);
    return task;
  };

  // It runs until it is stopped: what is withdrawn before is certain to be waiting.
  const running = await submit(0, endless(long));
  expect(await until(tabs[0] as Tab, running.taskId, "preview")).toBe(true);
  // One after another, for older servers keep nothing longer than until the next prompt.
  const cached = work("cached", (previewSize) => portrait({ previewSize }));
  await Promise.all(tabs.map(async (tab, at) => until(tab, (await submit(at, cached)).taskId, "accepted")));
  await Promise.all(
    tabs.flatMap((_, at) =>
      [
        ...(at === 0 ? [] : [endless(long)]),
        drawn("jpeg"),
        work("failed", (previewSize) => failing({ previewSize })),
        endless("withdrawn"),
        drawn("png"),
        work("blocked", (previewSize) => blocked({ previewSize })),
        work("told", (previewSize) => talking(wordsOf(at), { previewSize })),
        work("saved", (previewSize) => picture({ previewSize })),
        drawn("jpeg"),
      ].map((one) => submit(at, one)),
    ),
  );

  const cancelAt = async (at: number, role: Role, when: "accepted" | "preview") => {
    const tab = tabs[at] as Tab;
    const taskId = owned[at]?.find((task) => task.role === role)?.taskId ?? "";
    expect(await until(tab, taskId, when)).toBe(true);
    expect(await cancel(tab, taskId), `${role} of tab ${at}`).toBe(role !== "stubborn");
  };
  await Promise.all(tabs.map((_, at) => cancelAt(at, "withdrawn", "accepted")));
  expect(owned.map((tasks) => tasks.length)).toEqual(tabs.map(() => 10));
  await Promise.all(tabs.map((_, at) => cancelAt(at, long, "preview")));
  return owned;
}

/** What the server itself says of a prompt. */
async function historyOf(url: string, promptId: string) {
  const entry = (await (await fetch(`${url}/history/${promptId}`)).json())[promptId];
  const messages: [string, { nodes?: string[] }][] = entry?.status.messages ?? [];
  return {
    last: messages.at(-1)?.[0],
    outputs: entry?.outputs,
    cached: messages.find(([type]) => type === "execution_cached")?.[1].nodes ?? [],
  };
}

type Heard = Awaited<ReturnType<Tab["heard"]>>;
const isEnding = (type: string): boolean => ["succeeded", "failed", "cancelled", "lost"].includes(type);
const detailsOf = (events: Heard, wanted: string) =>
  events.filter(({ type }) => type === wanted).map(({ detail }) => detail);

/** One ending, the last event, and all that was told before it is what the server says of this prompt. */
function expectTold(
  task: OwnTask,
  events: Heard,
  ended: Awaited<ReturnType<Tab["ending"]>>,
  history: Awaited<ReturnType<typeof historyOf>>,
): void {
  const types = events.map(({ type }) => type);
  const { told, kept } = endings[task.role];
  expect(types.filter(isEnding), task.role).toEqual([told]);
  expect(types[0], task.role).toBe("accepted");
  expect(types.at(-1), task.role).toBe(told);
  expect(types.includes("started"), task.role).toBe(task.role !== "withdrawn");
  const numbers = events.map(({ seq }) => seq);
  expect(numbers).toEqual([...numbers].sort((a, b) => a - b));

  expect(history.last, task.role).toBe(kept);
  expect(detailsOf(events, "cached").flat().sort(), task.role).toEqual([...history.cached].sort());
  if (told === "succeeded") expect(ended.outputs, task.role).toEqual(history.outputs);
  expect(ended.code).toBe(task.role === "failed" ? "node-failed" : undefined);
  expect(detailsOf(events, "warning")).toEqual(warnings[task.role] ?? []);
}

test("of 60 mixed tasks of six tabs each ends once, at its owner, as what it is, and nobody else hears of it", async ({
  openTab,
  server,
}) => {
  test.setTimeout(120_000);
  const tabs: Tab[] = [];
  // All of them at the server at once: what waits here would wait for the one that runs until it is stopped.
  const servers = [{ url: server.url, depth: Number.POSITIVE_INFINITY }];
  while (tabs.length < 6) tabs.push(await openTab({ servers }));
  const owned = await submitAll(tabs, server.abilities.targetedInterrupt ? "stopped" : "stubborn");

  const promptIds: string[][] = tabs.map(() => []);
  let fromCache = 0;
  for (const [at, tab] of tabs.entries()) {
    const tasks = owned[at] ?? [];
    const ended = await Promise.all(tasks.map(({ taskId }) => tab.ending(taskId)));
    const heard = await tab.heard();
    const endingsArrived = await tab.page.evaluate(() => window.tab.endings());
    expect(endingsArrived.sort()).toEqual(tasks.map(({ taskId }) => taskId).sort());
    const previews = await tab.page.evaluate(() => window.tab.previews());
    expect(new Set(heard.map(({ taskId }) => taskId))).toEqual(new Set(tasks.map(({ taskId }) => taskId)));

    for (const [place, task] of tasks.entries()) {
      const events = heard.filter(({ taskId }) => taskId === task.taskId);
      const promptId = String(events[0]?.detail);
      promptIds[at]?.push(promptId);
      const history = await historyOf(server.url, promptId);
      expectTold(task, events, ended[place] as (typeof ended)[number], history);
      expect(detailsOf(events, "text")).toEqual(task.role === "told" ? [wordsOf(at)] : []);

      const isFromCache = history.cached.includes("1");
      if (isFromCache) fromCache += 1;
      const sizes = previews
        .filter(({ taskId }) => taskId === task.taskId)
        .map(({ width, height }) => `${width} × ${height}`);
      const shown = task.role !== "withdrawn" && !isFromCache;
      expect([...new Set(sizes)], task.role).toEqual(
        shown ? [`${task.previewSize} × ${task.previewSize}`] : [],
      );
    }
    expect(new Set(previews.map(({ type }) => type))).toEqual(new Set(["image/jpeg", "image/png"]));
  }
  expect(new Set(promptIds.flat()).size).toBe(60);
  expect(fromCache).toBe(5);

  for (const [at, tab] of tabs.entries()) {
    const idsOf = (owner: number) => [
      ...(owned[owner] ?? []).map(({ taskId }) => taskId),
      ...(promptIds[owner] ?? []),
    ];
    const foreign = tabs.flatMap((_, owner) => (owner === at ? [] : idsOf(owner)));
    const mentioned = (ids: string[]) => tab.page.evaluate((list) => window.tab.mentioned(list), ids);
    expect(foreign).toHaveLength(100);
    expect(await mentioned(foreign)).toEqual([]);
    expect(await mentioned(idsOf(at))).toEqual(idsOf(at)); // it finds what is there
  }

  const diagnostics = await Promise.all(
    tabs.map((tab) => tab.page.evaluate(() => window.tab.session().diagnostics())),
  );
  expect(new Set(diagnostics.map(({ epoch }) => epoch)).size).toBe(1);
  for (const one of diagnostics)
    expect(one).toMatchObject({
      mode: "shared",
      tabs: 6,
      servers: [{ sockets: 1, socketsOpened: 1 }],
      tasks: { open: 0, settled: 10 },
      twins: { seen: 0, removed: 0 },
    });
  if (server.simulator) {
    const { prompts, sockets } = server.simulator.log;
    expect(sockets).toHaveLength(1);
    expect(prompts.map(({ promptId }) => promptId).sort()).toEqual(promptIds.flat().sort());
  }
});
