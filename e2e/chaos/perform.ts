import { setTimeout as wait } from "node:timers/promises";
import type { ServerUnderTest } from "../fixtures.ts";
import type { ChaosBrowser, ChaosTab } from "./browser.ts";
import type { FaultyProxy } from "./proxy.ts";
import type { Action, Kind } from "./schedule.ts";
import type { Seats } from "./seats.ts";

/** What a run of chaos works on. */
export interface Place {
  readonly chaos: ChaosBrowser;
  readonly seats: Seats;
  readonly network: FaultyProxy;
  readonly server: ServerUnderTest;
  /** Prompts that somebody else has taken out of the queue. */
  readonly deleted: Set<string>;
  /** Another page of the same site. */
  readonly elsewhere: string;
  /** The server starts again, and has forgotten what it ran. */
  readonly forgot: () => void;
  /** The tab that made the newest host, as far as it is known. */
  readonly creator: () => ChaosTab | undefined;
}

const mostTabs = 9;

/** A real server has other users, and does not fail on command. */
export const kindsForSimulator: readonly Kind[] = ["deafen", "restart", "clear-queue"];

/** @returns why it could not be done, if it could not */
export async function perform(place: Place, action: Action): Promise<string | undefined> {
  const { chaos, seats, network, server } = place;
  switch (action.kind) {
    case "reload":
    case "reopen":
    case "crash":
    case "back-forward":
    case "duplicate":
    case "freeze": {
      const seat = seats.free(action.tab);
      if (!seat) return "no tab is free";
      if (action.kind === "duplicate" && seats.all.length >= mostTabs) return "there are tabs enough";
      await seats.hold(seat, () => toTab(place, action, seat.tab));
      return undefined;
    }
    case "crash-creator": {
      const tab = place.creator();
      if (!tab || tab.isCrashed || seats.of(tab).isBusy) return "the tab that made the host is away";
      await seats.hold(seats.of(tab), () => crash(tab, action.awayMs));
      return undefined;
    }
    case "kill-worker":
    case "hang-worker": {
      const worker = (await chaos.workers()).at(-1);
      if (!worker) return "there is no worker";
      if (action.kind === "kill-worker") await chaos.killWorker(worker.targetId);
      else await chaos.hangWorker(worker.targetId, action.ms);
      return undefined;
    }
    case "cut":
      for (const one of network.connections)
        if (action.what === "all" || one.kind === action.what) one.cut(action.how);
      return undefined;
    case "half-open":
    case "stall": {
      const frozen = network.connections.filter(
        ({ kind }) => action.kind === "stall" || kind === "websocket",
      );
      for (const one of frozen) one.freeze();
      await wait(action.ms);
      for (const one of frozen) one.thaw();
      return undefined;
    }
    case "unreachable":
      network.arriving = "frozen";
      await wait(action.ms);
      network.arriving = "served";
      for (const one of network.connections) one.thaw();
      return undefined;
    case "down":
      await down(place, action.ms);
      return undefined;
    case "slow":
      network.delayMs = action.delayMs;
      await wait(action.ms);
      network.delayMs = 0;
      return undefined;
    case "deafen":
      server.simulator?.deafen();
      return undefined;
    case "restart":
      server.simulator?.restart();
      place.forgot();
      return undefined;
    case "clear-queue":
      await changeQueue(server.url, { clear: true });
      return undefined;
    case "delete-prompt": {
      const promptId = await waitingPrompt(server.url);
      if (!promptId) return "no prompt waits";
      place.deleted.add(promptId);
      await changeQueue(server.url, { delete: [promptId] });
      return undefined;
    }
    case "post":
      network.plan("POST /prompt", action.fault);
      return undefined;
  }
}

type OnTab = Extract<Action, { tab: number }>;

async function toTab(place: Place, action: OnTab, tab: ChaosTab): Promise<void> {
  const { seats, elsewhere } = place;
  switch (action.kind) {
    case "reload":
      return tab.reload();
    case "duplicate":
      return seats.duplicate(seats.of(tab));
    case "reopen":
      return seats.reopen(seats.of(tab), () => wait(action.awayMs));
    case "crash":
      return crash(tab, action.awayMs);
    case "back-forward":
      await tab.navigate(elsewhere);
      await wait(action.awayMs);
      return tab.back();
    case "freeze": {
      const other = seats.all.find(({ isBusy, tab: { isCrashed } }) => !isBusy && !isCrashed);
      await other?.tab.toFront();
      await tab.freeze();
      await wait(action.ms);
      return tab.resume();
    }
  }
}

async function crash(tab: ChaosTab, awayMs: number): Promise<void> {
  await tab.crash();
  await wait(awayMs);
  await tab.reload();
}

async function down({ network, server: { simulator }, forgot }: Place, ms: number): Promise<void> {
  if (simulator) {
    simulator.stop();
    forgot();
    await wait(ms);
    simulator.start();
    return;
  }
  network.arriving = "refused";
  for (const one of network.connections) one.cut("reset");
  await wait(ms);
  network.arriving = "served";
}

/** Directly: this is somebody else. */
async function changeQueue(url: string, change: object): Promise<void> {
  await fetch(`${url}/queue`, { method: "POST", body: JSON.stringify(change) });
}

/** One of ours that has not begun. */
async function waitingPrompt(url: string): Promise<string | undefined> {
  const { queue_pending } = (await (await fetch(`${url}/queue`)).json()) as {
    queue_pending: [number, string, Record<string, { inputs?: { tag?: string } }>][];
  };
  const own = queue_pending.filter(([, , prompt]) =>
    Object.values(prompt).some(({ inputs }) => String(inputs?.tag).includes("#")),
  );
  return own[0]?.[1];
}
