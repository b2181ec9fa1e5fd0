import { expect, test } from "vitest";
import { createDice } from "./dice.ts";
import { createWorld, type World } from "./world.ts";

/** As the tabs of a world weigh its servers: they take the first for half as fast, and send it four prompts at once, the others two. */
const speeds = [1, 2, 2, 2] as const;
const [firstPlaces, tabCount, tasksPerTab] = [4 + 2 + 2 + 2, 8, 50];

/** Runs 400 tasks of eight tabs at four servers. @returns whose prompts went out, in order */
function run(seed: number): { world: World; sent: string[] } {
  const dice = createDice(seed);
  const owners = new Map<string, string>();
  const sent: string[] = [];
  const world = createWorld({
    seed,
    sites: speeds.length,
    speeds,
    note(_host, _fact, effects) {
      for (const effect of effects)
        if (effect.do === "request" && effect.path === "/prompt" && effect.method === "POST")
          sent.push(owners.get(JSON.parse(effect.body ?? "").prompt_id) ?? "nobody");
    },
  });
  const { browser, book } = world;
  for (let n = 0; n < tabCount; n += 1) browser.load(browser.openTab());
  while (!browser.tabs.every(({ page }) => page?.isReady)) world.next(world.agenda.now + 1_000);
  for (const { page } of browser.tabs)
    for (let n = 0; n < tasksPerTab && page; n += 1) {
      const mark = book.entries.size + 1;
      const promptId = `00000000-0000-4000-8000-${String(mark).padStart(12, "0")}`;
      const { tabId } = page.identity;
      owners.set(promptId, tabId);
      const entry = {
        taskId: `task-${mark}`,
        site: undefined,
        acceptedAs: undefined,
        promptId,
        mark,
        kind: "steps" as const,
        tabId,
        cancelAfterMs: undefined,
        submittedAt: world.agenda.now,
        promised: false,
        refused: undefined as string | undefined,
        cancelAsked: false,
        stopped: false,
        dismissed: false,
        outputsDropped: false,
        told: undefined,
        tellings: 0,
      };
      book.entries.set(entry.taskId, entry);
      const { taskId } = entry;
      const workflow = JSON.stringify({
        1: {
          class_type: "WorldSteps",
          inputs: { mark, steps: dice.whole(1, 12), delay_ms: dice.whole(50, 1_500), fail_at: -1 },
        },
        2: { class_type: "WorldShow", inputs: { mark, source: ["1", 0] } },
      });
      page.call({ method: "submit", submission: { taskId, promptId }, workflow }, 60_000, () => {});
    }
  const isDone = (): boolean => [...book.entries.values()].every(({ told }) => told !== undefined);
  while (!isDone()) world.next(world.agenda.now + 1_000);
  return { world, sent };
}

test.each([1])(
  "400 tasks of eight tabs keep four servers of different speed busy, and the tabs take turns (seed %i)",
  (seed) => {
    const { world, sent } = run(seed);
    const lengths = world.servers.map(({ log }) =>
      log.prompts.map(({ startedAt = 0, endedAt = 0 }) => endedAt - startedAt),
    );
    const runs = world.servers.flatMap(({ log }) => log.prompts);
    const began = Math.min(...runs.map(({ acceptedAt }) => acceptedAt));
    const makespan = Math.max(...runs.map(({ endedAt = 0 }) => endedAt)) - began;
    const work = lengths.flatMap((own, site) => own.map((length) => length * (speeds[site] ?? 1)));
    const total = work.reduce((sum, one) => sum + one, 0);
    const ideal = Math.max(total / speeds.reduce((sum, speed) => sum + speed, 0), ...lengths.flat());
    expect(runs).toHaveLength(tabCount * tasksPerTab);
    expect(makespan / ideal).toBeLessThanOrEqual(1.15);

    // The first places go to whoever came first; from then on nobody waits while another tab has two turns more.
    const tabs = [...new Set(sent)];
    expect(tabs).toHaveLength(tabCount);
    const inTurns = sent.slice(firstPlaces);
    for (let at = 0; at + tabCount <= inTurns.length; at += 1) {
      const waiting = tabs.filter((tab) => inTurns.includes(tab, at));
      for (const tab of waiting)
        expect(inTurns.slice(at, at + tabCount), `${tab} waits from ${at} on`).toContain(tab);
    }
  },
  120_000,
);
