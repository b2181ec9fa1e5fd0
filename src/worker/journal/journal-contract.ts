import type { JournalEntry } from "../../core/journal.ts";
import type { Journal } from "./journal.ts";

/** One thing that every journal does. Runs anywhere: it knows no test runner. */
export interface Clause {
  readonly says: string;
  /** Needs a storage that hosts share, one after the other. */
  readonly durable?: true;
  /**
   * @param open another host's journal in the same storage, which is empty at first
   * @throws Error that says what was expected
   */
  readonly check: (open: () => Journal) => Promise<void>;
}

/** An entry as a host writes it first; a test changes what it is about. */
export function newEntry(changes: Partial<JournalEntry> = {}): JournalEntry {
  return {
    taskId: "portrait",
    tabId: "tab-anna",
    tabSecret: "secret-anna",
    label: undefined,
    promptId: "00000000-0000-4000-8000-000000000001",
    generation: 1,
    serverKey: undefined,
    serverId: undefined,
    clientId: undefined,
    registered: false,
    adopted: false,
    posts: 0,
    lastLoss: undefined,
    accepted: false,
    cancelWanted: false,
    cancelAt: undefined,
    cancelAfterMs: undefined,
    workflow: '{"1":{}}',
    submission: { nodes: 1, extraData: { note: "für Anna", list: [1, null] } },
    seq: 0,
    events: [],
    createdAt: 1000,
    settledAt: undefined,
    ...changes,
  };
}

export const contract: readonly Clause[] = [
  {
    says: "gives a tab back what was written of its task, whole",
    async check(open) {
      const journal = open();
      const events = [
        { type: "accepted", seq: 1, taskId: "portrait", at: 5, promptId: "p", serverId: "main" },
      ] as unknown as JournalEntry["events"];
      const entry = newEntry({ events, seq: 1, workflow: "\u{1f58c}\ud800".repeat(100_000), label: "" });
      same(await journal.write(entry, true), "written");
      same(await claimAnna(journal), [{ ...entry, generation: 2 }]);
    },
  },
  {
    says: "replaces an entry as a whole",
    async check(open) {
      const journal = open();
      await journal.write(newEntry({ cancelAt: 7 }), true);
      const later = newEntry({ workflow: undefined, accepted: true, seq: 3 });
      same(await journal.write(later, false), "written");
      same(await claimAnna(journal), [{ ...later, generation: 2 }]);
      same(await journal.claimOverdue(100), []);
    },
  },
  {
    says: "claims a tab's own tasks only, oldest first, and raises their generation each time",
    async check(open) {
      const journal = open();
      await journal.write(newEntry({ taskId: "second", createdAt: 1001 }), true);
      await journal.write(newEntry({ taskId: "first", generation: 4 }), true);
      await journal.write(newEntry({ taskId: "ben's", tabId: "tab-ben", tabSecret: "secret-ben" }), true);
      await journal.write(newEntry({ taskId: "forged", tabSecret: "secret-mallory" }), true);
      same((await claimAnna(journal)).map(nameAndGeneration), ["first 5", "second 2"]);
      same((await claimAnna(journal)).map(nameAndGeneration), ["first 6", "second 3"]);
      same((await journal.claim("tab-ben", "secret-ben")).map(nameAndGeneration), ["ben's 2"]);
      same(await journal.claim("tab-carla", "secret-carla"), []);
    },
  },
  {
    says: "refuses what a former host still writes, first entries too, and takes what is as new or newer",
    async check(open) {
      const journal = open();
      await journal.write(newEntry(), true);
      await claimAnna(journal);
      same(await journal.write(newEntry({ label: "old" }), false), "superseded");
      same(await journal.write(newEntry({ label: "old" }), true), "superseded");
      same(await journal.write(newEntry({ label: "same", generation: 2 }), false), "written");
      same(await journal.write(newEntry({ label: "newer", generation: 10 }), false), "written");
      same(await journal.write(newEntry({ label: "old", generation: 9 }), false), "superseded");
      const [entry] = await claimAnna(journal);
      same([entry?.label, entry?.generation], ["newer", 11]);
    },
  },
  {
    says: "refuses the first entry of a task that is there already: another host has taken it up",
    async check(open) {
      const journal = open();
      await journal.write(newEntry({ label: "first" }), true);
      same(await journal.write(newEntry({ label: "second" }), true), "superseded");
      same(await journal.write(newEntry({ label: "second", generation: 5 }), true), "superseded");
      const [entry] = await claimAnna(journal);
      same([entry?.label, entry?.generation], ["first", 2]);
      await journal.erase(["portrait"]);
      same(await journal.write(newEntry({ label: "second" }), true), "written");
    },
  },
  {
    says: "takes a task that is not there for dismissed, unless the entry is its first",
    async check(open) {
      const journal = open();
      same(await journal.write(newEntry(), false), "superseded");
      same(await claimAnna(journal), []);
      await journal.write(newEntry(), true);
      await journal.write(newEntry({ taskId: "upscale" }), true);
      await journal.erase(["portrait", "unknown"]);
      await journal.erase([]);
      same(await journal.write(newEntry(), false), "superseded");
      same((await claimAnna(journal)).map(nameAndGeneration), ["upscale 2"]);
    },
  },
  {
    says: "obeys in the order of the calls, also when nobody waits for the answers",
    async check(open) {
      const journal = open();
      const answers: unknown[] = [];
      const note = (answer: unknown): void => void answers.push(answer);
      await Promise.all([
        journal.write(newEntry(), true).then(note),
        journal.write(newEntry({ label: "second" }), false).then(note),
        claimAnna(journal).then((entries) => note(entries.map(({ label }) => label))),
        journal.write(newEntry({ label: "late" }), false).then(note),
        journal.erase(["portrait"]).then(note),
        journal.write(newEntry({ generation: 2 }), false).then(note),
        journal.claim("tab-anna", "secret-anna").then(note),
      ]);
      same(answers, ["written", "written", ["second"], "superseded", undefined, "superseded", []]);
    },
  },
  {
    says: "claims the open tasks of any tab whose time is over, and only those",
    async check(open) {
      const journal = open();
      const at = (taskId: string, cancelAt: number | undefined, settledAt?: number) =>
        journal.write(newEntry({ taskId, tabId: `tab-${taskId}`, cancelAt, settledAt }), true);
      await at("long ago", 10);
      await at("just now", 99);
      await at("not yet", 100);
      await at("never", undefined);
      await at("ended", 10, 50);
      same((await journal.claimOverdue(100)).map(nameAndGeneration), ["long ago 2", "just now 2"]);
      same((await journal.claimOverdue(50)).map(nameAndGeneration), ["long ago 3"]);
    },
  },
  {
    says: "forgets what was settled before a time, and nothing that is open",
    async check(open) {
      const journal = open();
      await journal.write(newEntry({ taskId: "old", settledAt: 99 }), true);
      await journal.write(newEntry({ taskId: "young", settledAt: 100 }), true);
      await journal.write(newEntry({ taskId: "open", createdAt: 1 }), true);
      await journal.expire(100, 10, 10);
      same((await claimAnna(journal)).map(nameAndGeneration), ["open 2", "young 2"]);
    },
  },
  {
    says: "keeps the tasks of each tab that were settled last, and of all of them together",
    async check(open) {
      const journal = open();
      const settle = (tab: string, ...times: number[]) =>
        Promise.all(
          times.map((settledAt) =>
            journal.write(
              newEntry({ taskId: `${tab} ${settledAt}`, tabId: tab, settledAt, createdAt: settledAt }),
              true,
            ),
          ),
        );
      const left = async (): Promise<string[]> => {
        const claims = await Promise.all(["a", "b"].map((tab) => journal.claim(tab, "secret-anna")));
        return claims.flat().map(({ taskId }) => taskId);
      };
      await settle("a", 1, 3, 5, 7);
      await settle("b", 2, 4);
      await journal.expire(0, 3, 10);
      same(await left(), ["a 3", "a 5", "a 7", "b 2", "b 4"]);
      await journal.expire(0, 3, 3);
      same(await left(), ["a 5", "a 7", "b 4"]);
      await settle("a", 11, 12, 13, 14);
      await journal.expire(0, 2, 3);
      same(await left(), ["a 13", "a 14", "b 4"]);
    },
  },
  {
    says: "hands a dead host's tasks to the next one, and refuses what the dead one still writes",
    durable: true,
    async check(open) {
      const first = open();
      await first.write(newEntry(), true);
      await first.write(newEntry({ taskId: "upscale", createdAt: 1001, cancelAt: 5 }), true);
      const second = open();
      same((await claimAnna(second)).map(nameAndGeneration), ["portrait 2", "upscale 2"]);
      same(await first.write(newEntry({ seq: 9 }), false), "superseded");
      same(await second.write(newEntry({ seq: 1, generation: 2 }), false), "written");
      const third = open();
      same((await third.claimOverdue(6)).map(nameAndGeneration), ["upscale 3"]);
      await third.erase(["upscale"]);
      same(await second.write(newEntry({ taskId: "upscale", generation: 2 }), false), "superseded");
      const [entry, ...others] = await claimAnna(third);
      same([entry?.seq, entry?.generation, others], [1, 3, []]);
    },
  },
  {
    says: "gives a task to the last of two hosts that claim it at the same time",
    durable: true,
    async check(open) {
      const hosts = [open(), open()];
      await hosts[0]?.write(newEntry(), true);
      const claims = await Promise.all(hosts.map(claimAnna));
      const generations = claims.map(([entry]) => entry?.generation ?? 0);
      same([...generations].sort(), [2, 3]);
      const outcomes = hosts.map((host, i) =>
        host.write(newEntry({ generation: generations[i] ?? 0 }), false),
      );
      same((await Promise.all(outcomes)).sort(), ["superseded", "written"]);
    },
  },
];

const claimAnna = (journal: Journal): Promise<readonly JournalEntry[]> =>
  journal.claim("tab-anna", "secret-anna");
const nameAndGeneration = ({ taskId, generation }: JournalEntry): string => `${taskId} ${generation}`;

function same(found: unknown, expected: unknown): void {
  const [is, should] = [inWords(found), inWords(expected)];
  if (is !== should) throw new Error(`expected ${should.slice(0, 1000)}, found ${is.slice(0, 1000)}`);
}

/** JSON with the fields in order and with what JSON leaves out. */
const inWords = (value: unknown): string =>
  JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === undefined) return "(undefined)";
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
