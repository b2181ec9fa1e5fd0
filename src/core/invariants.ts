import { encodePart } from "../comfy/addresses.ts";
import { isObject } from "../comfy/json.ts";
import type { ServerKey } from "../protocol/ids.ts";
import { isEnding, isRetained } from "../protocol/mailbox.ts";
import type { Answer } from "../protocol/session-api.ts";
import type { PortTaskEvent, TaskSnapshot } from "../protocol/tasks.ts";
import { deliveryWindow } from "./delivery.ts";
import { isRefusal } from "./diagnosis.ts";
import type { Effect } from "./effects.ts";
import type { CallKey, DeclaredServer, Fact, Moment, PortKey, RequestKey, SocketKey } from "./facts.ts";
import { watchLocks } from "./lock-watch.ts";
import type { Coordinator, Port, Tab, Task } from "./state.ts";
import { quarantineMs } from "./submission.ts";
import { isOver, settledLimit } from "./task-lifecycle.ts";

/**
 * The promises G1–G8, as far as one host can break them, stated so that a test can run them after every
 * step. It watches what goes in and comes out, and believes nothing that the coordinator says of itself
 * but who owns which task.
 */
export interface Watch {
  /** @throws Error naming the promise and what broke it */
  after(fact: Fact, effects: readonly Effect[], moment: Moment): void;
  /**
   * To be called when nothing can happen any more: what is still owed? @throws Error
   *
   * @param isThere whether there is still a page behind that port. Default: yes
   */
  atRest(isThere?: (port: PortKey) => boolean): void;
}

export function watch(c: Coordinator): Watch {
  const sockets = new Map<SocketKey, { server: string; clientId: string; closing: boolean }>();
  const callers = new Map<CallKey, PortKey>();
  const owed = new Set<CallKey>();
  const answered = new Set<CallKey>();
  const heard = new Map<string, { seq: number; ended: boolean }>();
  /** By port and task, the numbers of what must not be missed and has been told. */
  const told = new Map<string, Set<number>>();
  const posts = new Map<string, { count: number; at: number }>();
  /** What a request posts; one that wanted credentials never got as far as the server. */
  const posting = new Map<RequestKey, string>();
  /** By the task itself: one that another host has had meanwhile is another one here. */
  const endings = new WeakMap<Task, string>();
  const owners = new Map<string, string>();
  /** What the tabs have said: which servers are theirs, and how many prompts of ours each may have. */
  const named = new Map<string, Map<ServerKey, number>>();
  /** Submitted to this very host; those of a former one may be anywhere. */
  const submittedHere = new Set<string>();
  /** By tab: since when all its pages are gone, for all that is known. */
  const leftAt = new Map<string, number>();
  /** Whether their tab lives at another host is being asked. */
  const asked = new Set<string>();
  const tabsBehind = new Map<PortKey, string>();

  const check = (holds: boolean, promise: string, what: string): void => {
    if (!holds) throw new Error(`${promise} is broken: ${what}`);
  };
  const locks = watchLocks(c, check);

  function takeFact(fact: Fact): void {
    if (fact.type === "tab-said-hello" || fact.type === "tab-called") {
      callers.set(fact.call, fact.port);
      owed.add(fact.call);
    }
    if (fact.type === "tab-said-hello") {
      declare(fact.hello.tabId, fact.hello.servers);
      tabsBehind.set(fact.port, fact.hello.tabId);
      // What was refused here its page may bring all the same.
      for (const { taskId } of fact.hello.tasks) if (!owners.has(taskId)) submittedHere.delete(taskId);
    }
    if (fact.type === "journal-claimed") for (const { taskId } of fact.entries) submittedHere.delete(taskId);
    if (fact.type === "tab-called") {
      const { port, request } = fact;
      const tab = tabOf(port);
      if (tab && request.method === "addServers") declare(tab.tabId, request.servers);
      if (tab && request.method === "setAuth") declare(tab.tabId, [request.server]);
      // A page that is gone is only refused.
      const taskId = tab && request.method === "submit" ? request.submission.taskId : undefined;
      if (taskId !== undefined && !owners.has(taskId)) submittedHere.add(taskId);
    }
    if (fact.type === "socket-closed") sockets.delete(fact.socket);
    if (fact.type === "request-answered" && "status" in fact.answer && isRefusal(fact.answer.status))
      posts.delete(posting.get(fact.request) ?? "");
  }

  function declare(tabId: string, servers: readonly DeclaredServer[]): void {
    const own = named.get(tabId) ?? new Map<ServerKey, number>();
    for (const { key, depth } of servers) own.set(key, Math.max(own.get(key) ?? 0, depth));
    named.set(tabId, own);
  }

  function takeEffect(effect: Effect, { now }: Moment): void {
    switch (effect.do) {
      case "open-socket": {
        for (const [key, live] of sockets) {
          check(live.closing || live.server !== effect.server, "G4", `a second socket to ${effect.server}`);
          check(live.clientId !== effect.clientId, "G4", `socket ${key} is live under ${effect.clientId}`);
        }
        sockets.set(effect.socket, { server: effect.server, clientId: effect.clientId, closing: false });
        return;
      }
      case "close-socket": {
        const socket = sockets.get(effect.socket);
        if (socket) socket.closing = true;
        return;
      }
      case "answer":
        settleCall(effect.call);
        toCaller(effect.call, effect.answer);
        return;
      case "allow-transfer": {
        settleCall(effect.call);
        const declared = tabOf(effect.port)?.servers.get(effect.serverId);
        check(declared?.key === effect.server, "G1", `a tab may move files at ${effect.server}`);
        return;
      }
      case "post-batch":
        for (const event of effect.events) toPort(effect.port, event);
        return;
      case "request":
        if (effect.method === "POST") posted(effect, now);
    }
  }

  const tabOf = (key: PortKey | undefined): Tab | undefined =>
    c.tabs.get((key !== undefined && c.ports.get(key)?.tabId) || "");

  function settleCall(call: CallKey): void {
    check(!answered.has(call), "G7", `call ${call} is answered twice`);
    answered.add(call);
    owed.delete(call);
  }

  function toCaller(call: CallKey, answer: Answer<unknown>): void {
    const key = callers.get(call);
    const tab = tabOf(key);
    for (const { taskId, events } of snapshotsIn(answer)) {
      check(
        tab !== undefined && owners.get(taskId) === tab.tabId,
        "G1",
        `task ${taskId} is answered to tab ${tab?.tabId}`,
      );
      for (const event of events) note(`${key} ${taskId}`, event);
    }
  }

  function note(name: string, event: PortTaskEvent): void {
    if (!isRetained(event)) return;
    const numbers = told.get(name) ?? new Set();
    told.set(name, numbers.add(event.seq));
  }

  function toPort(key: PortKey, event: Extract<Effect, { do: "post-batch" }>["events"][number]): void {
    const tab = tabOf(key);
    check(tab !== undefined, "G1", `something is sent to port ${key}, which is gone`);
    if (!tab) return;
    if (event.kind === "server")
      check(tab.servers.has(event.server.id), "G1", `a tab hears of server ${event.server.id}`);
    if (event.kind === "message")
      check(
        tab.servers.get(event.serverId)?.broadcastTypes.includes(event.type) === true,
        "G1",
        `a tab hears a ${event.type} that it did not ask for`,
      );
    if (event.kind !== "task") return;
    const { taskId, seq } = event.event;
    check(owners.get(taskId) === tab.tabId, "G1", `task ${taskId} is told to tab ${tab.tabId}`);
    const name = `${key} ${taskId}`;
    const before = heard.get(name) ?? { seq: 0, ended: false };
    check(seq > before.seq, "G3", `task ${taskId} goes from ${before.seq} to ${seq}`);
    check(!before.ended, "G2", `task ${taskId} says ${event.event.type} after its ending`);
    heard.set(name, { seq, ended: isEnding(event.event) });
    note(name, event.event);
  }

  function posted({ path, body, server, request }: Extract<Effect, { do: "request" }>, now: number): void {
    const routes = c.servers.get(server)?.routes;
    if (path === "/prompt") {
      const { prompt_id: promptId } = JSON.parse(body ?? "{}") as { prompt_id: string };
      const name = `${server} ${promptId}`;
      const before = posts.get(name);
      check(routes?.has(promptId) === true, "G3", `${promptId} is posted before it has a route`);
      check(
        before === undefined || now - before.at >= quarantineMs,
        "G5",
        `${promptId} is posted again at once`,
      );
      const count = (before?.count ?? 0) + 1;
      check(count <= 2, "G5", `${promptId} is posted ${count} times`);
      posts.set(name, { count, at: now });
      placed(server, promptId);
      posting.set(request, name);
    } else if (path === "/interrupt") {
      const { prompt_id: promptId } = JSON.parse(body ?? "{}") as { prompt_id?: string };
      check(promptId !== undefined && routes?.has(promptId) === true, "G6", "an interrupt that hits others");
    } else if (path === "/queue") {
      const { delete: ids, clear } = JSON.parse(body ?? "{}") as { delete?: string[]; clear?: unknown };
      check(clear === undefined && ids?.every((id) => routes?.has(id)) === true, "G6", `deletes ${ids}`);
    } else {
      const own = [...(routes?.keys() ?? [])].map((id) => `/api/jobs/${encodePart(id)}/cancel`);
      check(own.includes(path), "G6", `${path} is posted, which is for nothing of our own`);
    }
  }

  /** A prompt goes to a server of its tab, and only as many as a tab allows there. */
  function placed(server: ServerKey, promptId: string): void {
    const here = [...c.tasks.values()].filter(
      ({ id, serverKey }) => serverKey === server && submittedHere.has(id),
    );
    const task = here.find((one) => one.promptId === promptId);
    if (!task) return;
    check(named.get(task.tabId)?.has(server) === true, "own list", `${task.id} goes to ${server}`);
    const depth = Math.max(...[...named.values()].map((own) => own.get(server) ?? 0));
    const open = here.filter((one) => !isOver(one) && !one.adrift).length;
    check(open <= depth, "depth", `${server} gets ${open} prompts, and may have ${depth}`);
    locks.sent(task, server);
  }

  function takeState(): void {
    for (const task of c.tasks.values()) {
      check(
        (owners.get(task.id) ?? task.tabId) === task.tabId,
        "G1",
        `task ${task.id} changes from ${owners.get(task.id)} to ${task.tabId}`,
      );
      owners.set(task.id, task.tabId);
      takeTask(task);
    }
    for (const port of c.ports.values()) {
      const tasks = [...c.tasks.values()].filter(({ tabId }) => tabId === port.tabId).length;
      check(port.outbox.size <= 4200 + 700 * (tasks + 1), "G8", `${port.outbox.size} events wait`);
      check(port.flying.length <= deliveryWindow.batches + 1000, "G8", "the window is not kept");
    }
    const settled = [...c.tasks.values()].filter(({ stage }) => stage.at === "settled").length;
    check(settled <= settledLimit.inAll, "G8", `${settled} settled tasks are kept`);
  }

  function takeTask(task: Task): void {
    const { stage } = task;
    const ending =
      stage.at === "settling" ? stage.ending.type : stage.at === "settled" ? stage.status : undefined;
    const before = endings.get(task);
    if (before !== undefined) check(ending === before, "G2", `${task.id} ended ${before}, and now ${ending}`);
    if (ending !== undefined) endings.set(task, ending);
    const told = task.record.items().filter(isEnding).length;
    check(told === (stage.at === "settled" ? 1 : 0), "G2", `${task.id} keeps ${told} endings`);
    if (isOver(task) && task.serverKey)
      check(c.servers.get(task.serverKey)?.open.has(task.id) !== true, "G2", `${task.id} is over and open`);
  }

  /** All timers that are due have just fired. */
  function takeTime(now: number): void {
    for (const task of c.tasks.values()) {
      const left = leftAt.get(task.tabId);
      check(
        left === undefined ||
          task.cancelAfterMs === undefined ||
          now < left + task.cancelAfterMs ||
          task.cancel !== undefined ||
          asked.has(task.id) ||
          isOver(task),
        "G6",
        `${task.id} goes on, though its tab has been gone for as long as it gave`,
      );
    }
  }

  /** A page that has read everything there was: has it missed anything? */
  function takeReader(port: Port): void {
    for (const task of c.tasks.values()) {
      if (task.tabId !== port.tabId) continue;
      for (const event of task.record.items()) {
        if (!isRetained(event) || told.get(`${port.key} ${task.id}`)?.has(event.seq)) continue;
        const promise = isEnding(event) ? "G2" : "G3";
        check(false, promise, `port ${port.key} is never told that ${task.id} ${event.type}`);
      }
    }
  }

  return {
    after(fact, effects, moment) {
      takeFact(fact);
      // Another host may have written an ending, or sent it once more, before this one has told its own.
      if (fact.type === "journal-claimed")
        for (const task of c.tasks.values()) if (task.stage.at !== "settled") endings.delete(task);
      takeState();
      locks.after(fact, moment.now);
      for (const effect of effects) takeEffect(effect, moment);
      if (fact.type === "tab-probed") {
        asked.delete(fact.task);
        if (fact.lives) leftAt.set(c.tasks.get(fact.task)?.tabId ?? "", moment.now);
      }
      for (const effect of effects) if (effect.do === "probe-tab") asked.add(effect.task);
      const left = fact.type === "tab-gone" ? (tabsBehind.get(fact.port) ?? "") : "";
      if (c.tabs.get(left)?.ports.size === 0 && !leftAt.has(left)) leftAt.set(left, moment.now);
      for (const effect of effects) if (effect.do === "drop-port") tabsBehind.delete(effect.port);
      for (const { tabId, ports, claiming } of c.tabs.values())
        if (ports.size + claiming > 0) leftAt.delete(tabId);
      if (fact.type === "time-passed") takeTime(moment.now);
    },
    atRest(isThere = () => true) {
      const hanging = [...owed].filter((call) => isThere(callers.get(call) as PortKey)).length;
      check(hanging === 0, "G7", `${hanging} calls hang`);
      for (const task of c.tasks.values())
        check(task.stage.at !== "settling", "G2", `the ending of ${task.id} is never told`);
      for (const port of c.ports.values())
        if (isThere(port.key) && !port.suspended && port.outbox.size === 0) takeReader(port);
    },
  };
}

/** A submission is answered with its task, a hello with all of them. */
function snapshotsIn(answer: Answer<unknown>): readonly TaskSnapshot[] {
  if (!("ok" in answer) || !isObject(answer.ok)) return [];
  const { taskId, tasks } = answer.ok;
  if (typeof taskId === "string") return [answer.ok as unknown as TaskSnapshot];
  return Array.isArray(tasks) ? tasks : [];
}
