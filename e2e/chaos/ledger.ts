import { ownerOf, type Told, type ToldEnding } from "./told.ts";

/** What the server says of one prompt that it accepted; the same id may stand in several. */
export interface ServedPrompt {
  readonly promptId: string;
  readonly startedAt?: number | undefined;
  /** Epoch milliseconds. */
  readonly endedAt?: number | undefined;
  readonly ending?: "success" | "error" | "interrupted" | undefined;
  readonly removed?: string | undefined;
}

/** Findings are sentences, each with the label of its task: none of them may be there. */
export interface Verdict {
  readonly tasks: number;
  readonly endings: Readonly<Record<ToldEnding["ending"], number>>;
  /** Tasks without an ending, or whose ending a snapshot does not have. */
  readonly lost: readonly string[];
  /** Something of a task reached a tab that does not own it. */
  readonly misrouted: readonly string[];
  /**
   * Two endings in one page, two answers to how it ended, or a second run that neither the network explains nor a server
   * that had forgotten the first one before anybody heard of it.
   */
  readonly duplicated: readonly string[];
  /** Endings that the server's log does not bear out. */
  readonly unfounded: readonly string[];
  /** A host that kept more for a tab than it may. */
  readonly unbounded: readonly string[];
  /** Hosts that went on answering when the next one had its first page. */
  readonly divided: readonly string[];
  /** Tasks whose host said that it could not keep them: they are not promised to survive it. */
  readonly unkept: number;
  /** Prompts that the network brought twice and that ran twice, and what the hosts counted. */
  readonly twins: { readonly ran: number; readonly seen: number; readonly removed: number };
}

export interface Ledger {
  /** @param tab the browser's tab in which the page was: two tabs never have one id */
  told(told: Told, tab: string): void;
  /** This request was brought to the server. */
  delivered(promptId: string, label: string): void;
  /** The network has lost, doubled or delayed this request, or broke while it was under way. */
  disturbed(promptId: string): void;
  /** The server has lost its history, as it does when it starts again. */
  forgot(at: number): void;
  /** Tasks that have no ending yet, as far as anybody has told. */
  readonly open: readonly string[];
  readonly tasks: number;
  verdict(served: readonly ServedPrompt[]): Verdict;
}

/** Events that wait for a tab: kinds and nodes of its open tasks bound them, never their number. */
const mostWaiting = 500;

/** How long a host may take to notice that it has a successor. */
const handOverMs = 2_000;

interface TaskEntry {
  readonly label: string;
  readonly taskIds: Set<string>;
  readonly promptIds: Set<string>;
  readonly endings: (ToldEnding & { readonly page: string })[];
  /** When its tab heard first that a server has it, in epoch milliseconds. */
  heardAt: number;
  isKnownToHost: boolean;
  /** The tab was told that the task exists. */
  isPromised: boolean;
  isCancelled: boolean;
  isDismissed: boolean;
  isUnkept: boolean;
}

export function createLedger(): Ledger {
  const tasks = new Map<string, TaskEntry>();
  const disturbed = new Set<string>();
  const forgottenAt: number[] = [];
  const arrivals: { readonly taskId: string; readonly tabId: string }[] = [];
  const tabOfId = new Map<string, string>();
  const twins = new Map<string, { seen: number; removed: number }>();
  /** From its first page's greeting until it was last asked something that it answered, in epoch milliseconds. */
  const hosts = new Map<string, { readonly from: number; until: number }>();
  const [misrouted, duplicated, unbounded, missing] = [
    new Set<string>(),
    new Set<string>(),
    new Set<string>(),
    new Set<string>(),
  ];

  function entryOf(label: string): TaskEntry {
    const entry = tasks.get(label) ?? {
      label,
      taskIds: new Set(),
      promptIds: new Set(),
      endings: [],
      heardAt: Number.POSITIVE_INFINITY,
      isKnownToHost: false,
      isPromised: false,
      isCancelled: false,
      isDismissed: false,
      isUnkept: false,
    };
    tasks.set(label, entry);
    return entry;
  }

  function owned(label: string, { tabId, page }: Told, what: string): TaskEntry {
    if (ownerOf(label) !== tabId) misrouted.add(`${label}: ${what} reached tab ${tabId} (page ${page})`);
    return entryOf(label);
  }

  function takeEnding(told: Extract<Told, { kind: "ended" }>): void {
    const entry = owned(told.label, told, told.ending);
    entry.taskIds.add(told.taskId);
    entry.isKnownToHost = true;
    if (entry.endings.some(({ page }) => page === told.page))
      duplicated.add(`${told.label}: two endings in page ${told.page}`);
    const other = entry.endings.find(({ ending }) => ending !== told.ending);
    if (other && !entry.isUnkept)
      duplicated.add(`${told.label}: ${other.ending} at first, then ${told.ending}`);
    entry.endings.push(told);
    for (const text of told.texts ?? [])
      if (!text.startsWith(`${told.label}:`)) misrouted.add(`${told.label}: has the result "${text}"`);
  }

  function takeSnapshot(told: Extract<Told, { kind: "opened" }>): void {
    const shown = new Map(told.tasks.map((task) => [task.label, task]));
    for (const { label, taskId } of told.tasks) owned(label, told, "its snapshot").taskIds.add(taskId);
    for (const { label, endings, isDismissed, isUnkept } of tasks.values()) {
      const ending = endings[0]?.ending;
      if (ending === undefined || isDismissed || isUnkept || ownerOf(label) !== told.tabId) continue;
      const status = shown.get(label)?.status;
      if (status !== ending) missing.add(`${label}: ${ending}, but ${status ?? "gone"} in page ${told.page}`);
    }
  }

  /** Nobody could know of it any more, and nobody did before. */
  const wasForgotten = ({ endedAt }: ServedPrompt, { heardAt }: TaskEntry): boolean =>
    endedAt !== undefined && forgottenAt.some((at) => endedAt < at && at < heardAt);

  function dividedHosts(): string[] {
    const inTurn = [...hosts].sort(([, one], [, other]) => one.from - other.from);
    return inTurn.flatMap(([epoch, { until }], at) => {
      const [next, later] = inTurn[at + 1] ?? [];
      if (!later || until <= later.from + handOverMs) return [];
      return [`host ${epoch} answered ${until - later.from} ms after the first page had greeted ${next}`];
    });
  }

  const isOpen = ({ isKnownToHost, endings }: TaskEntry): boolean => isKnownToHost && endings.length === 0;

  return {
    told(told, tab) {
      if (told.tabId !== "") {
        const before = tabOfId.get(told.tabId) ?? tab;
        tabOfId.set(told.tabId, before);
        if (before !== tab) misrouted.add(`tab ${told.tabId} is ${before} and ${tab}`);
      }
      switch (told.kind) {
        case "opened":
          return takeSnapshot(told);
        case "submitting":
          entryOf(told.label);
          return;
        case "submitted": {
          const entry = entryOf(told.label);
          entry.isKnownToHost = true;
          entry.isPromised = true;
          return;
        }
        case "accepted": {
          const entry = owned(told.label, told, "accepted");
          entry.promptIds.add(told.promptId);
          entry.heardAt = Math.min(entry.heardAt, told.at);
          return;
        }
        case "cancelling":
          entryOf(told.label).isCancelled = true;
          return;
        case "dismissed":
          entryOf(told.label).isDismissed = true;
          return;
        case "unkept":
          owned(told.label, told, "a warning").isUnkept = true;
          return;
        case "ended":
          return takeEnding(told);
        case "arrived":
          arrivals.push(told);
          return;
        case "twins":
          twins.set(told.epoch, told);
          return;
        case "host":
          hosts.set(told.epoch, hosts.get(told.epoch) ?? { from: told.at, until: told.at });
          return;
        case "outbox": {
          const host = hosts.get(told.epoch);
          if (host) host.until = Math.max(host.until, told.askedAt);
          if (told.waiting > mostWaiting)
            unbounded.add(`${told.waiting} events waited for tab ${told.tabId} (page ${told.page})`);
          return;
        }
      }
    },
    delivered(promptId, label) {
      const entry = entryOf(label);
      entry.promptIds.add(promptId);
      entry.isKnownToHost = true;
    },
    disturbed: (promptId) => void disturbed.add(promptId),
    forgot: (at) => void forgottenAt.push(at),
    get open() {
      return [...tasks.values()].filter(isOpen).map(({ label }) => label);
    },
    get tasks() {
      return tasks.size;
    },
    verdict(served) {
      const endings = { succeeded: 0, failed: 0, cancelled: 0, lost: 0 };
      const [lost, unfounded]: [string[], string[]] = [[...missing], []];
      const servedById = new Map<string, ServedPrompt[]>();
      for (const one of served) servedById.set(one.promptId, [...(servedById.get(one.promptId) ?? []), one]);
      const ownerOfTask = new Map<string, string>();
      let ranTwice = 0;
      for (const entry of tasks.values()) {
        const { label, taskIds, promptIds } = entry;
        for (const taskId of taskIds) ownerOfTask.set(taskId, ownerOf(label));
        if (isOpen(entry)) lost.push(`${label}: no ending`);
        if (taskIds.size > 1) duplicated.add(`${label}: ${taskIds.size} tasks`);
        if (promptIds.size > 1) duplicated.add(`${label}: ${promptIds.size} prompts`);
        for (const promptId of promptIds) {
          const runs =
            servedById.get(promptId)?.filter((run) => wasRun(run) && !wasForgotten(run, entry)) ?? [];
          if (runs.length < 2) continue;
          if (disturbed.has(promptId)) ranTwice += 1;
          else duplicated.add(`${label}: its prompt ${promptId} ran ${runs.length} times`);
        }
        const [told] = entry.endings;
        if (!told) continue;
        endings[told.ending] += 1;
        const found = [...promptIds].flatMap((promptId) => servedById.get(promptId) ?? []);
        // Its page or its host died before either knew whether the other had it: "submit it again" is all to say.
        if (!entry.isPromised && found.length === 0 && told.ending !== "succeeded") continue;
        const why = doubt(told, found, entry.isCancelled, Math.max(0, ...forgottenAt));
        if (why) unfounded.push(`${label}: ${told.ending} (${told.why ?? ""}), but ${why}`);
      }
      for (const { taskId, tabId } of arrivals) {
        const owner = ownerOfTask.get(taskId);
        if (owner !== undefined && owner !== tabId)
          misrouted.add(`task ${taskId} of tab ${owner}: an event reached tab ${tabId}`);
      }
      const counted = [...twins.values()];
      return {
        tasks: tasks.size,
        endings,
        lost,
        misrouted: [...misrouted],
        duplicated: [...duplicated],
        unfounded,
        unbounded: [...unbounded],
        divided: dividedHosts(),
        unkept: [...tasks.values()].filter(({ isUnkept }) => isUnkept).length,
        twins: {
          ran: ranTwice,
          seen: counted.reduce((sum, { seen }) => sum + seen, 0),
          removed: counted.reduce((sum, { removed }) => sum + removed, 0),
        },
      };
    },
  };
}

const wasRun = ({ startedAt }: ServedPrompt): boolean => startedAt !== undefined;

/** What speaks against this ending in the server's log. */
function doubt(
  { ending, why }: ToldEnding,
  served: readonly ServedPrompt[],
  isCancelled: boolean,
  forgotAt: number,
): string | undefined {
  const ended = (how: string): boolean => served.some((one) => one.ending === how);
  const removed = served.some((one) => one.removed !== undefined && one.removed !== "cancelled");
  const isForgotten = ({ endedAt = forgotAt }: ServedPrompt): boolean => endedAt < forgotAt;
  const isThere = (one: ServedPrompt): boolean => one.removed === undefined && !isForgotten(one);
  switch (ending) {
    case "succeeded":
      return ended("success") ? undefined : "no run of it has succeeded";
    case "failed":
      // Sent twice in vain (docs/errors.md): then no server has it.
      if (ended("error") || (why === "server-unreachable" && !served.some(isThere))) return undefined;
      return `no run of it has failed: ${JSON.stringify(served)}`;
    case "cancelled":
      return isCancelled || ended("interrupted") ? undefined : "nobody has cancelled it";
    case "lost":
      if (removed || served.some(isForgotten)) return undefined;
      return `the server has not lost it: ${JSON.stringify(served)}`;
  }
}
