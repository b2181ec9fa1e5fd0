import { present } from "../comfy/json.ts";
import type { DeclaredServer, PortHello, TabRequest } from "../core/facts.ts";
import { isEnding } from "../protocol/mailbox.ts";
import {
  type Answer,
  acknowledgeEvery,
  type HostEvent,
  type ServerSnapshot,
  type Welcome,
} from "../protocol/session-api.ts";
import type { PortTaskEvent, TaskSnapshot } from "../protocol/tasks.ts";
import { type App, declared } from "./app.ts";
import { check } from "./book.ts";
import type { HostModel } from "./host-model.ts";
import { keyOf } from "./network-model.ts";
import type { Identity, PageMeans, PageModel, TaskLog } from "./page.ts";
import { createPageLocks } from "./page-locks.ts";

const handshakeMs = 15_000;
const retryMs = 1_000;
/** As without Web Locks (client/host-life.ts). */
const pings = { everyMs: 30_000, patienceMs: 120_000 };
const repeats = 2;
const callMs = 30_000;
/** The longest until an app names its other servers, and until its user signs in again. */
const namingMs = 20_000;
const signInMs = 20_000;
/** A page that has just come back has not called yet. */
const wakingMs = 60_000;

interface Call {
  /** Another one each time it is sent. */
  key: number;
  readonly request: TabRequest;
  readonly done: (answer: Answer<unknown>) => void;
  attempts: number;
  sentOn: Link | undefined;
}

interface Link {
  readonly host: HostModel;
  readonly port: number;
  greeted: boolean;
  over: boolean;
  upAt: number;
  downAt: number;
  taken: number;
}

export function helloOf(
  { tabId, secret: tabSecret, tasks, isNew }: Identity,
  { hasLocks, hasClaimed, storage }: Pick<PageMeans, "hasLocks" | "hasClaimed" | "storage">,
  servers: readonly DeclaredServer[],
): PortHello {
  return {
    tabId,
    tabSecret,
    windowId: "window",
    servers,
    tasks: [...tasks.values()],
    previews: "newest",
    hasLock: hasClaimed,
    pings: !hasLocks,
    isNew,
    losses: storage.losses,
  };
}

/** One page of one tab, as the client library behaves: its link to whatever host there is, and what it heard. */
export function createPage(means: PageMeans, identity: Identity, app: App): PageModel {
  const { agenda, dice, book } = means;
  const logs = new Map<string, TaskLog>();
  const calls = new Map<number, Call>();
  const waiting: (() => void)[] = [];
  /** By address: what this page has named. A host that it has refuses none of them. */
  const servers = new Map<string, DeclaredServer>();
  for (const { url } of app.servers.slice(0, app.namedFirst)) servers.set(url, declared(app, url));
  /** Where its user has been asked who they are, and has not said yet. */
  const asked = new Set<string>();
  let [alive, frozen, suspended, ready] = [true, false, false, false];
  /** Its host has said that nothing of what it does outlives it. */
  let forgets = false;
  let wokeAt = Number.NEGATIVE_INFINITY;
  /** Of the journals that have failed, what its host was told. */
  let lastLoss: string | undefined;
  let link: Link | undefined;

  /** Runs in the page: not while it stands still, and never after its end. */
  function inPage(run: () => void): void {
    if (!alive) return;
    if (frozen || suspended) waiting.push(run);
    else run();
  }
  const later = (ms: number, run: () => void): (() => void) => agenda.after(ms, () => inPage(run));

  function wake(): void {
    wokeAt = agenda.now;
    while (!frozen && !suspended && alive && waiting.length > 0) waiting.shift()?.();
  }

  function up(to: Link, run: (host: HostModel) => void): void {
    to.upAt = Math.max(to.upAt, agenda.now + dice.delay(1));
    agenda.at(to.upAt, () => run(to.host));
  }

  function connect(): void {
    const host = means.host(page);
    const made: Link = {
      host,
      port: means.nextPort(),
      greeted: false,
      over: false,
      upAt: 0,
      downAt: 0,
      taken: 0,
    };
    link = made;
    /** Answers and events in one order, as on one port. */
    const down = (run: () => void): void => {
      made.downAt = Math.max(made.downAt, agenda.now + dice.delay(1));
      agenda.at(made.downAt, () =>
        inPage(() => {
          if (!made.over) run();
        }),
      );
    };
    /** Of what the page asks by itself. */
    const ownCalls = new Map<number, (answer: Answer<unknown>) => void>();
    host.addPort(made.port, {
      events: (batch, events) =>
        down(() => {
          for (const event of events) {
            hear(event);
            if (event.kind === "journal") noteLoss(made);
          }
          made.taken += 1;
          if (made.taken % acknowledgeEvery.batches !== 0) return;
          up(made, (to) => to.tell({ type: "tab-acknowledged", port: made.port, batch }));
        }),
      answer: (key, answer) =>
        down(() => {
          const take = ownCalls.get(key);
          if (take) take(answer);
          else settle(key, answer);
        }),
      dropped() {
        const mayBe = frozen || suspended || agenda.now - wokeAt < wakingMs;
        check(mayBe, "G2", `tab ${page.identity.tabId} is given up, and is awake`);
        down(() => {
          unlink();
          connect();
        });
      },
    });
    const ping = (): void => {
      later(pings.everyMs, () => {
        if (made.over) return;
        let answered = false;
        const call = means.nextCall();
        ownCalls.set(call, () => {
          answered = true;
          ping();
        });
        up(made, (to) =>
          to.tell({ type: "tab-called", port: made.port, call, request: { method: "diagnostics" } }),
        );
        later(pings.patienceMs, () => {
          if (answered || made.over) return;
          unlink();
          connect();
        });
      });
    };
    let refusals = 0;
    const hello = (): void => {
      const call = means.nextCall();
      ownCalls.set(call, (answer) => {
        if (!("ok" in answer)) return;
        const welcome = answer.ok as Welcome;
        if ("refused" in welcome) {
          refusals += 1;
          // Without locks its own former port may count as another page until its goodbye is read.
          if (ready && refusals <= 3) later(retryMs, hello);
          else {
            means.renew(page);
            hello();
          }
          return;
        }
        greeted(made, welcome);
        if (!means.hasLocks) ping();
      });
      // What is stored may be older: a page saves at endings, and says what it has heard.
      for (const [taskId, log] of logs) {
        const task = page.identity.tasks.get(taskId);
        if (task) page.identity.tasks.set(taskId, { ...task, lastSeq: Math.max(task.lastSeq, log.lastSeq) });
      }
      book.spokenFor(page.identity);
      const named = [...servers.values()];
      const known = helloOf(page.identity, means, named);
      for (const { key } of named) book.named(page.identity.tabId, key);
      lastLoss = known.losses?.split(" ").at(-1);
      const said = ready ? { ...known, locks: locks.known() } : known;
      up(made, (to) => to.tell({ type: "tab-said-hello", port: made.port, call, hello: said }));
    };
    hello();
    later(handshakeMs, () => {
      if (made.greeted || made.over) return;
      unlink();
      later(retryMs, () => {
        if (!link) connect();
      });
    });
  }

  function greeted(made: Link, welcome: Exclude<Welcome, { refused: string }>): void {
    made.greeted = true;
    // What a host said last before it died is no sign of life.
    if (made.host.state === "live") book.came(page.identity.tabId);
    page.identity.isNew = false;
    forgets = welcome.journal === "memory";
    if (forgets) noteLoss(made);
    const isFirst = !ready;
    ready = true;
    for (const snapshot of welcome.tasks) takeSnapshot(snapshot);
    for (const server of welcome.servers) takeServer(server);
    for (const lock of locks.takeWelcome(welcome.locks ?? [])) means.lockLost(page, lock);
    for (const call of [...calls.values()]) if (!call.sentOn) send(call);
    if (!isFirst) return;
    means.begin(page);
    if (!page.hasNamedAll) later(dice.whole(0, namingMs), nameAll);
  }

  function nameAll(): void {
    const more = app.servers.filter(({ url }) => !servers.has(url)).map(({ url }) => declared(app, url));
    for (const { key } of more) book.named(page.identity.tabId, key);
    page.call({ method: "addServers", servers: more }, callMs, (answer) => {
      if ("error" in answer) later(retryMs, nameAll);
      // Signed in there meanwhile, it could not be: the host did not know it.
      else for (const one of more) servers.set(one.id, one);
    });
  }

  /** Somebody signs in some time after they are asked to, or never: the server may take them again by itself. */
  function takeServer({ id, error }: ServerSnapshot): void {
    if (error?.code !== "unauthorized" || asked.has(id)) return;
    asked.add(id);
    if (dice.chance(0.4)) return;
    later(dice.whole(10, signInMs), () => {
      asked.delete(id);
      page.signIn(id, app.someone(id, dice));
    });
  }

  /** Before it is noted where every page finds it, the host sends nothing more. */
  function noteLoss(to: Link): void {
    const { storage } = means;
    for (const [taskId, { lastLoss: _, ...known }] of page.identity.tasks)
      page.identity.tasks.set(taskId, known);
    const noted = storage.losses?.split(" ") ?? [];
    if (!noted.includes(to.host.epoch)) storage.losses = [...noted, to.host.epoch].join(" ");
    up(to, (host) => host.tell({ type: "tab-noted", port: to.port }));
  }

  function takeSnapshot(snapshot: TaskSnapshot): void {
    const { taskId } = snapshot;
    const log = logOf(taskId);
    log.known = true;
    check(
      book.entries.get(taskId)?.tabId === page.identity.tabId,
      "G1",
      `${taskId} is in a stranger's snapshot`,
    );
    for (const event of snapshot.events) take(event);
    log.lastSeq = Math.max(log.lastSeq, snapshot.seq);
    remember(taskId, log, snapshot.promptId, snapshot.serverId);
  }

  function logOf(taskId: string): TaskLog {
    let log = logs.get(taskId);
    if (!log) {
      log = {
        lastSeq: 0,
        ending: undefined,
        adrift: false,
        known: false,
        heardNode: false,
      };
      logs.set(taskId, log);
    }
    return log;
  }

  function hear(event: HostEvent): void {
    if (event.kind === "lock") locks.takeEvent(event);
    if (event.kind === "journal") forgets = true;
    if (event.kind === "server") takeServer(event.server);
    if (event.kind === "message") takeNews(event);
    if (event.kind !== "task") return;
    take(event.event);
    const { taskId, type } = event.event;
    const log = logs.get(taskId);
    if (log && type === "node") log.heardNode = true;
    if (!log || (type !== "accepted" && !isEnding(event.event))) return;
    const at = event.event.type === "accepted" ? event.event : undefined;
    remember(taskId, log, at?.promptId, at?.serverId);
  }

  function takeNews({ serverId, type, data }: Extract<HostEvent, { kind: "message" }>): void {
    const { at } = data as { at: string };
    const isWanted = servers.get(serverId)?.broadcastTypes.includes(type);
    check(isWanted === true && at === serverId, "G1", `news of ${at} come as those of ${serverId}`);
  }

  function take(event: PortTaskEvent): void {
    book.heard(page.identity.tabId, event);
    const log = logs.get(event.taskId);
    if (!log || log.ending || event.seq <= log.lastSeq) return;
    log.lastSeq = event.seq;
    if (event.type === "warning" && (event.code === "stalled" || event.code === "not-one-server"))
      log.adrift = true;
    if (isEnding(event)) log.ending = event.type;
  }

  function remember(taskId: string, log: TaskLog, promptId?: string, serverId?: string): void {
    const { tasks } = page.identity;
    tasks.set(taskId, {
      ...tasks.get(taskId),
      taskId,
      lastSeq: log.lastSeq,
      settled: log.ending !== undefined || tasks.get(taskId)?.settled === true,
      ...(promptId === undefined ? {} : { promptId }),
      ...(serverId === undefined ? {} : { serverId }),
    });
    if (log.ending && !forgets) tasks.delete(taskId);
    means.save(page);
  }

  function send(call: Call): void {
    if (!link) return;
    const to = link;
    call.sentOn = to;
    calls.delete(call.key);
    call.key = means.nextCall();
    calls.set(call.key, call);
    const { key, request } = call;
    up(to, (host) => host.tell({ type: "tab-called", port: to.port, call: key, request }));
  }

  function settle(key: number, answer: Answer<unknown>): void {
    const call = calls.get(key);
    calls.delete(key);
    call?.done(answer);
  }

  /** Lets go of the host, which hears a goodbye or sees the page's lock free. */
  function unlink(goodbye = true): void {
    if (!link) return;
    const old = link;
    old.over = true;
    link = undefined;
    old.host.removePort(old.port);
    means.letGo(page, old.host);
    book.left(page.identity.tabId);
    if (goodbye) up(old, (host) => host.tell({ type: "tab-gone", port: old.port }));
    // The host asks for the page's lock when it has read its hello.
    if (means.hasLocks)
      agenda.at(Math.max(old.upAt, agenda.now + dice.delay(20)), () =>
        old.host.tell({ type: "tab-gone", port: old.port }),
      );
    for (const call of [...calls.values()]) {
      if (call.sentOn !== old) continue;
      call.sentOn = undefined;
      call.attempts += 1;
      if (call.attempts > repeats)
        settle(call.key, { error: { code: "host-lost", message: "", details: {} } as never });
    }
  }

  const locks = createPageLocks({
    call: (request, deadlineMs, done) => page.call(request, deadlineMs, done),
    later: (ms, run) => void later(ms, run),
    now: () => agenda.now,
  });

  const page: PageModel = {
    means,
    identity,
    logs,
    app,
    locks,
    get isAlive() {
      return alive;
    },
    get isStill() {
      return frozen || suspended;
    },
    get host() {
      return link?.host;
    },
    get greeted() {
      return link?.greeted === true;
    },
    get isReady() {
      return ready;
    },
    get pending() {
      return calls.size;
    },
    get hasNamedAll() {
      return servers.size === app.servers.length;
    },
    get servers() {
      return [...servers.values()];
    },
    start: connect,
    takeSnapshot,
    ask: ({ key }, order, done) => means.network.ask(key, order, (answer) => inPage(() => done(answer))),
    signIn(url, account) {
      if (!servers.has(url)) return;
      means.network.refused.delete(keyOf(url, account));
      const server = declared({ ...app, accounts: new Map([[url, account]]) }, url);
      book.named(page.identity.tabId, server.key);
      page.call({ method: "setAuth", server, account }, callMs, (answer) => {
        if ("error" in answer) return;
        servers.set(url, server);
        app.accounts.set(url, account);
      });
    },
    call(request, deadlineMs, done) {
      const call: Call = { key: means.nextCall(), request, done, attempts: 0, sentOn: undefined };
      calls.set(call.key, call);
      if (link?.greeted) send(call);
      later(deadlineMs, () =>
        settle(call.key, { error: { code: "timeout", message: "", details: {} } as never }),
      );
    },
    expect(known) {
      const told = present({ lastLoss: forgets ? undefined : lastLoss });
      page.identity.tasks.set(known.taskId, { ...known, ...told });
      means.save(page);
      logOf(known.taskId);
    },
    forget(taskId) {
      logs.delete(taskId);
      const { tasks } = page.identity;
      if (forgets) tasks.set(taskId, { taskId, lastSeq: 0, settled: true, dismissed: true });
      else tasks.delete(taskId);
      means.save(page);
    },
    hostGone(host) {
      if (link?.host !== host) return;
      inPage(() => {
        if (link?.host !== host) return;
        unlink();
        connect();
      });
    },
    leave() {
      inPage(() => {
        unlink();
        connect();
      });
    },
    freeze() {
      frozen = true;
    },
    thaw() {
      frozen = false;
      wake();
    },
    suspend() {
      if (link) {
        const { port } = link;
        up(link, (host) => host.tell({ type: "tab-suspended", port }));
      }
      suspended = true;
    },
    resume() {
      suspended = false;
      if (link) {
        const { port } = link;
        up(link, (host) => host.tell({ type: "tab-resumed", port }));
      }
      wake();
    },
    end(goodbye) {
      alive = false;
      calls.clear();
      waiting.length = 0;
      unlink(goodbye);
    },
  };
  return page;
}
