import type { Effect } from "../core/effects.ts";
import type { Fact } from "../core/facts.ts";
import type { Schedule } from "./simulation.ts";
import type { World } from "./world.ts";

/** What happened, for people: one line a fact with what the host did about it. */
export class Transcript {
  readonly lines: string[] = [];
  #now = (): number => 0;

  begin(world: World, schedule: Schedule): void {
    const { seed, tabs, sites, serversPerSite, version, hasLocks, isSolo } = schedule;
    this.#now = () => world.agenda.now;
    this.lines.push(
      `seed ${seed}: ${tabs} tabs, ${sites} sites of ${serversPerSite} servers, ComfyUI ${version}, ${
        isSolo ? "solo" : "shared"
      }${hasLocks ? "" : ", no locks"}${schedule.hasAccounts ? ", accounts" : ""}${
        schedule.namesLater ? ", servers named later" : ""
      }`,
    );
  }

  note(text: string): void {
    this.lines.push(`${(this.#now() / 1000).toFixed(3).padStart(9)} ── ${text}`);
  }

  readonly noteStep = (host: string, fact: Fact, effects: readonly Effect[]): void => {
    const did = effects.map(wordsOf).filter(Boolean).join("; ");
    if (did === "" && (fact.type === "port-ticked" || fact.type === "tab-acknowledged")) return;
    this.lines.push(
      `${(this.#now() / 1000).toFixed(3).padStart(9)} ${host} ${factWords(fact)}${did && ` → ${did}`}`,
    );
  };
}

function factWords(fact: Fact): string {
  const { type, ...rest } = fact;
  if (fact.type === "tab-said-hello")
    return `${type} port ${fact.port} as ${fact.hello.tabId} knowing ${fact.hello.tasks.map(({ taskId }) => taskId).join(" ") || "nothing"}`;
  if (fact.type === "journal-claimed")
    return `${type} ${fact.entries.map((entry) => `${entry.taskId}#${entry.generation}`).join(" ") || "nothing"}`;
  return `${type} ${JSON.stringify(rest).slice(0, 160)}`;
}

function wordsOf(effect: Effect): string {
  switch (effect.do) {
    case "request":
      return `${effect.method} ${effect.path} as ${effect.request}`;
    case "post-batch":
      return `tells ${effect.port}: ${effect.events
        .map((event) =>
          event.kind === "task"
            ? `${event.event.taskId} ${event.event.type}`
            : event.kind === "lock"
              ? `${event.lockId} ${event.state}`
              : event.kind,
        )
        .join(", ")}`;
    case "answer":
      return `answers ${effect.call}: ${JSON.stringify(effect.answer).slice(0, 80)}`;
    case "write-journal":
      return `writes ${effect.entry.taskId}#${effect.entry.generation} as ${effect.write}`;
    case "open-socket":
      return `opens socket ${effect.socket} to ${effect.server} as ${effect.clientId}`;
    case "close-socket":
      return `closes socket ${effect.socket}`;
    case "log":
      return `says "${effect.message}"`;
    case "wake":
    case "request-tick":
    case "send-text":
      return "";
    default:
      return effect.do;
  }
}
