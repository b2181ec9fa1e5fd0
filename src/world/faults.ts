import { newsType } from "./app.ts";
import type { TabModel } from "./browser-model.ts";
import type { Dice } from "./dice.ts";
import {
  type Fault,
  hostFault,
  httpFault,
  livePages,
  promptFault,
  serverFault,
  tabFault,
  wireFault,
} from "./fault-targets.ts";
import type { HostModel } from "./host-model.ts";
import { keyOf } from "./network-model.ts";
import { workflowOf } from "./workflows.ts";
import type { World } from "./world.ts";

function forget(world: World, server: World["servers"][number]): void {
  for (const run of server.log.prompts) if (run.ending !== undefined) world.forgotten.add(run);
}

function reopenLater(world: World, tab: TabModel, ms: number): void {
  world.agenda.after(ms, () => {
    if (!tab.page) world.browser.load(tab);
  });
}

/** Waits for a moment in the host's life, once. */
function atFact(
  host: HostModel,
  wanted: (fact: Parameters<HostModel["tell"]>[0]) => boolean,
  then: () => void,
): void {
  host.onFact = (fact) => {
    if (!wanted(fact)) return;
    host.onFact = undefined;
    then();
  };
}

const isPostJournalled =
  (host: HostModel) =>
  (fact: Parameters<HostModel["tell"]>[0]): boolean => {
    if (fact.type !== "journal-written") return false;
    const purpose = host.coordinator.writes.get(fact.write);
    return purpose?.for === "post" || purpose?.for === "submission";
  };

/** Hung, and left by its tabs for another one; some time later it wakes up, and finds itself left. */
function hangAndLeave(world: World, host: HostModel, dice: Dice): void {
  host.hang();
  const patienceMs = dice.whole(100, 20_000);
  world.agenda.after(patienceMs, () => world.browser.leaveHost(host));
  world.agenda.after(patienceMs + dice.whole(0, 120_000), host.resume);
}

const minute = 60_000;

/** Every kind of fault, by the name that a transcript gives it. */
export const faults = {
  "tab-reloads": tabFault((world, tab) => {
    world.browser.unload(tab, true);
    world.browser.load(tab);
  }),
  "tab-crashes": tabFault((world, tab, dice) => {
    world.browser.unload(tab, false);
    reopenLater(world, tab, dice.whole(100, 30_000));
  }),
  "tab-closed": tabFault((world, tab, dice) => {
    world.browser.unload(tab, true);
    tab.isOpen = false;
    reopenLater(world, tab, dice.whole(1_000, 2 * minute));
  }),
  // Without locks only their host can tell a copy from its original, and not where it hangs or each has its own.
  "tab-duplicated": ((world, dice) => {
    const { browser } = world;
    const tab = dice.pick(livePages(world));
    if (!tab || !browser.hasLocks || browser.tabs.length >= 8) return false;
    browser.load(browser.openTab(tab));
    return true;
  }) as Fault,
  // Without locks for so long that its host takes it for gone.
  "tab-frozen": tabFault((world, { page }, dice) => {
    page?.freeze();
    world.agenda.after(dice.whole(100, (world.browser.hasLocks ? 2 : 15) * minute), () => page?.thaw());
  }),
  "tab-in-bfcache": tabFault((world, { page }, dice) => {
    page?.suspend();
    world.agenda.after(dice.whole(100, minute), () => page?.resume());
  }),
  /** Who has seen its id, and not its secret. */
  "tab-impersonated": tabFault((world, { page }) => {
    if (page) world.browser.impersonate(page);
  }),
  /** Its tabs are asked to sign in again. */
  "account-refused": ((world, dice) => {
    const { network, browser } = world;
    const { url } = dice.pick(network.sites)!;
    // Nobody in particular has nothing that could be refused.
    const account = dice.pick(browser.tabs.flatMap(({ app }) => app.accounts.get(url) || []));
    if (account === undefined) return false;
    network.refused.add(keyOf(url, account));
    return true;
  }) as Fault,
  "tab-storage-cleared": tabFault((world, tab) => {
    world.browser.unload(tab, false);
    tab.stored = undefined;
    world.browser.load(tab);
  }),

  "host-killed": hostFault((world, host) => world.browser.killHost(host)),
  "host-killed-at-post": hostFault((world, host, dice) => {
    atFact(host, isPostJournalled(host), () =>
      world.agenda.after(dice.next() * 30, () => world.browser.killHost(host)),
    );
  }),
  "host-killed-at-ending": hostFault((world, host, dice) => {
    const isEnd = (fact: Parameters<HostModel["tell"]>[0]): boolean =>
      fact.type === "message-received" && fact.message.type === "executing" && fact.message.nodeId === null;
    atFact(host, isEnd, () => world.agenda.after(dice.next() * 12, () => world.browser.killHost(host)));
  }),
  "host-killed-at-cancel": hostFault((world, host, dice) => {
    const isIntent = (fact: Parameters<HostModel["tell"]>[0]): boolean =>
      fact.type === "journal-written" && host.coordinator.writes.get(fact.write)?.for === "cancel";
    atFact(host, isIntent, () => world.agenda.after(dice.next() * 60, () => world.browser.killHost(host)));
  }),
  "creator-tab-crashes": tabFault((world, tab, dice) => {
    world.browser.unload(tab, false);
    world.browser.killHost(dice.pick(world.browser.serving));
    reopenLater(world, tab, dice.whole(100, 10_000));
  }),
  "host-hangs": hostFault((world, host, dice) => {
    host.hang();
    world.agenda.after(dice.whole(100, 30_000), host.resume);
  }),
  "host-left-hung": hostFault(hangAndLeave),
  "host-paused-before-post": hostFault((world, host, dice) => {
    atFact(host, isPostJournalled(host), () => hangAndLeave(world, host, dice));
  }),
  "browser-restarts": ((world, dice) => {
    const open = world.browser.tabs.filter(({ page }) => page);
    for (const tab of open) world.browser.unload(tab, dice.chance(0.5));
    // Also those that hang, and that nobody finds any more.
    for (const host of world.browser.hosts) {
      world.browser.killHost(host);
      host.kill();
    }
    for (const tab of open) reopenLater(world, tab, dice.whole(500, 60_000));
    return true;
  }) as Fault,

  "clock-set-back": ((world, dice) => {
    world.wallShift -= dice.whole(1_000, 24 * 60 * minute);
    return true;
  }) as Fault,
  "computer-sleeps": ((world) => {
    world.sleep(60 * minute);
    return true;
  }) as Fault,

  offline: ((world, dice) => {
    world.network.online = false;
    for (const wire of [...world.network.wires]) wire.cutAtHost(dice.whole(100, 40_000));
    world.agenda.after(dice.whole(500, 40_000), () => {
      world.network.online = true;
      for (const host of world.browser.serving) host.tell({ type: "went-online" });
    });
    return true;
  }) as Fault,
  "socket-cut": wireFault((world, { server }) => {
    server.advanceTo(world.agenda.now);
    server.cutSockets();
  }),
  "socket-cut-at-host": wireFault((_, wire, dice) => wire.cutAtHost(dice.whole(10, 60_000))),
  "socket-cut-at-server": wireFault((_, wire, dice) => wire.cutAtServer(dice.whole(1_000, 60_000))),
  "socket-half-open": wireFault((_, wire) => wire.goBlind()),
  "socket-deaf": wireFault((world, { server }) => {
    server.advanceTo(world.agenda.now);
    server.deafen();
  }),

  "post-lost": httpFault(() => ({ fault: "lose-request", on: "POST /prompt", times: 1 })),
  "post-answer-lost": httpFault(() => ({ fault: "lose-answer", on: "POST /prompt", times: 1 })),
  "post-late": httpFault((dice) => ({
    fault: "deliver-late",
    on: "POST /prompt",
    times: 1,
    ms: dice.whole(500, 50_000),
  })),
  "post-hangs": httpFault(() => ({ fault: "hang", on: "POST /prompt", times: 1 })),
  "post-repeated": ((world, dice) => {
    world.repeats += 1;
    dice.pick(world.servers)?.faults.add({ fault: "twice", on: "POST /prompt", times: 1 });
    return true;
  }) as Fault,
  "post-500-but-queued": httpFault(() => ({
    fault: "answer-instead",
    on: "POST /prompt",
    times: 1,
    status: 500,
    cors: false,
  })),
  "post-answered-by-proxy": httpFault((dice) => ({
    fault: "answer",
    on: "POST /prompt",
    times: 1,
    status: dice.pick([200, 401, 403, 502, 504])!,
    cors: true,
  })),
  "http-slow": httpFault((dice) => ({
    fault: dice.chance(0.5) ? "delay-request" : "delay-answer",
    times: dice.whole(1, 6),
    ms: dice.whole(200, 35_000),
  })),
  "http-lost": httpFault((dice) => ({ fault: "lose-answer", times: dice.whole(1, 6) })),
  "http-answered-by-proxy": httpFault((dice) => ({
    fault: "answer",
    on: dice.pick(["GET /queue", "GET /history", "GET /jobs", "GET /prompt"])!,
    times: dice.whole(1, 8),
    status: dice.pick([200, 404, 502])!,
    cors: true,
  })),
  "history-hangs": httpFault((dice) => ({ fault: "hang", on: "GET /history", times: dice.whole(1, 3) })),

  "server-down": ((world, dice) => {
    const site = dice.pick(world.network.sites);
    if (!site || site.down) return false;
    site.down = true;
    for (const wire of [...world.network.wires]) if (wire.site === site) wire.cutAtHost(10);
    world.agenda.after(dice.whole(1_000, 3 * minute), () => {
      site.down = false;
    });
    return true;
  }) as Fault,
  "server-restarts": serverFault((world, server) => {
    forget(world, server);
    server.restart();
  }),
  "publisher-stalls": serverFault((world, server, dice) => {
    server.stallPublisher();
    world.agenda.after(dice.whole(500, 30_000), () => {
      server.advanceTo(world.agenda.now);
      server.resumePublisher();
    });
  }),
  "prompt-deleted": promptFault((world, server, promptId) => {
    world.book.meddled.add(promptId);
    server.request("POST", "/queue", JSON.stringify({ delete: [promptId] }));
  }),
  "prompt-interrupted": promptFault((world, server, promptId) => {
    world.book.meddled.add(promptId);
    // Below 0.3.57 it hits whatever runs.
    for (const { promptId, startedAt, endedAt } of server.log.prompts)
      if (startedAt !== undefined && endedAt === undefined) world.book.meddled.add(promptId);
    server.request("POST", "/interrupt", JSON.stringify({ prompt_id: promptId }));
  }),
  "queue-cleared": serverFault((world, server) => {
    for (const { promptId } of server.log.prompts) world.book.meddled.add(promptId);
    server.request("POST", "/queue", JSON.stringify({ clear: true }));
  }),
  "history-cleared": serverFault((world, server) => {
    forget(world, server);
    server.request("POST", "/history", JSON.stringify({ clear: true }));
  }),
  /** A server speaks of a prompt that runs at another one. */
  "server-forges": serverFault((world, server, dice) => {
    const at = world.network.sites.find(({ servers }) => servers.includes(server));
    // Its tab knows where it is: it is not being looked for.
    const elsewhere = [...world.book.entries.values()].filter(
      ({ site, acceptedAs, told }) => site !== undefined && site !== at?.url && acceptedAs && !told,
    );
    const prompt_id = dice.pick(elsewhere)?.acceptedAs;
    if (prompt_id === undefined) return;
    server.emit("execution_start", { prompt_id });
    server.emit("executed", { prompt_id, node: "2", display_node: "2", output: { mark: [-1] } });
    server.emit("execution_success", { prompt_id });
    server.emit("executing", { prompt_id, node: null });
  }),
  "others-work": serverFault((world, server, dice) => {
    const at = world.network.sites.find(({ servers }) => servers.includes(server));
    server.emit(newsType, { at: at?.url });
    for (let count = dice.whole(1, 4); count > 0; count -= 1) {
      const client_id = dice.chance(0.5) ? "somebody" : undefined;
      const kind = dice.pick(["quick", "steps", "fails", "blocked"] as const)!;
      const prompt = JSON.parse(workflowOf(kind, dice.whole(1_000_000, 2_000_000)));
      server.request("POST", "/prompt", JSON.stringify({ prompt, client_id }));
    }
  }),

  "journal-hangs": ((world, dice) => {
    world.browser.storage.health = "hang";
    world.agenda.after(dice.whole(100, 20_000), () => {
      world.browser.storage.health = "well";
    });
    return true;
  }) as Fault,
  "journal-refuses": ((world, dice) => {
    world.browser.storage.health = "refuse";
    world.agenda.after(dice.whole(100, 20_000), () => {
      world.browser.storage.health = "well";
    });
    return true;
  }) as Fault,
  "journal-wiped": ((world) => {
    world.browser.storage.wipe();
    return true;
  }) as Fault,
} satisfies Record<string, Fault>;

export type FaultKind = keyof typeof faults;
export const faultKinds = Object.keys(faults) as FaultKind[];

/** Whatever still goes wrong stops, and every tab is there. */
export function heal(world: World): void {
  const { network, browser, servers, agenda } = world;
  network.online = true;
  network.refused.clear();
  browser.storage.health = "well";
  for (const site of network.sites) site.down = false;
  for (const server of servers) {
    server.advanceTo(agenda.now);
    server.faults.clear();
    server.resumePublisher();
    if (!server.isUp) server.restart();
  }
  for (const host of browser.hosts) {
    host.onFact = undefined;
    host.resume();
  }
  for (const tab of browser.tabs) {
    tab.page?.thaw();
    if (tab.page?.isStill) tab.page.resume();
    if (!tab.page) browser.load(tab);
    tab.page?.locks.letGoOfAll();
  }
}
