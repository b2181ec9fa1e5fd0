/** A mistake that somebody could make in the core: one replacement in one of its files. */
export interface Mutant {
  readonly name: string;
  /** Below `src/`. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly from: string;
  readonly to: string;
  /** Within how many seeds it has to be noticed. */
  readonly seeds: number;
}

const core = (file: string, seeds: number, name: string, from: string, to: string): Mutant => ({
  name,
  file: `core/${file}.ts`,
  from,
  to,
  seeds,
});

export const mutants: readonly Mutant[] = [
  // Scheduling
  core(
    "scheduling",
    500,
    "a server gets all that waits, whatever its depth",
    "(!ignoresDepth && isFull(c, server, declared.depth))",
    "false",
  ),

  core(
    "scheduling",
    500,
    "prompts go to servers that another tab has locked",
    "isLockedFor(c, tabId, declared.key) ||",
    "",
  ),

  // Server locks
  core(
    "lock-table",
    500,
    "a lock that is shared keeps no exclusive one away",
    '(one.mode === "exclusive" || other.mode === "exclusive")',
    '(one.mode === "exclusive" && other.mode === "exclusive")',
  ),
  core(
    "locks",
    500,
    "a page that is gone waits on for a lock",
    "for (const entry of table.waiting) if (entry.port === port) table.remove(entry);",
    "",
  ),
  core("locks", 500, "a lock outlives its page for ever", "entry.freeAt = c.moment.now + graceMs;", ""),
  core(
    "locks",
    500,
    "a lock that is let go is granted to nobody",
    "breakCycles(c);\n  changed(c, entry.servers);\n  grant(c);",
    "breakCycles(c);\n  changed(c, entry.servers);",
  ),
  core(
    "locks",
    500,
    "who waits is not told when it is granted",
    'if (entry !== quiet) tell(c, entry, "granted");',
    "",
  ),
  core(
    "locks",
    1000,
    "who is robbed is not told",
    'for (const lost of table.steal(entry)) tell(c, lost, "lost");\n    breakCycles(c);',
    "table.steal(entry);\n    breakCycles(c);",
  ),
  core(
    "locks",
    2000,
    "two tabs may wait for each other",
    "if (table.wouldDeadlock(entry)) {",
    "if (table.find(entry.tabId, entry.lockId)) {",
  ),
  core(
    "locks",
    2000,
    "the next host knows nothing of locks that are held",
    "else if (table.heldAgainst(entry).every(",
    "else if (!isInTime && table.heldAgainst(entry).every(",
  ),
  core(
    "locks",
    2000,
    "the next host grants what is waited for before those who had it come",
    "if (c.moment.now < c.locks.closedUntil) return;",
    "",
  ),
  core(
    "locks",
    5000,
    "a new tab takes at the next host what another one had",
    "every(({ isFirm }) => isInTime && !isFirm)",
    "every(() => false)",
  ),
  core(
    "locks",
    2000,
    "what is waited for is not granted where its page comes late",
    "breakCycles(c);\n  grant(c);\n  arm(c);",
    "breakCycles(c);\n  arm(c);",
  ),
  {
    name: "a page forgets a lock that it gave up while there was no host",
    file: "world/page-locks.ts",
    from: 'if ("error" in answer || !entries.has(lockId)) {',
    to: 'if ("error" in answer) {',
    seeds: 5000,
  },

  // Delivery
  core(
    "delivery",
    500,
    "acknowledgements are dropped",
    "while (port.flying[0] && port.flying[0].batch <= batch) port.flying.shift();",
    "",
  ),
  core(
    "delivery",
    2000,
    "nothing bounds what is on its way to a tab",
    "if (port.suspended || port.flying.length >= deliveryWindow.batches) return false;",
    "if (port.suspended) return false;",
  ),
  core(
    "delivery",
    500,
    "a page in the back/forward cache is sent its events",
    "if (port.suspended || port.flying.length >= deliveryWindow.batches) return false;",
    "if (port.flying.length >= deliveryWindow.batches) return false;",
  ),
  core(
    "delivery",
    500,
    "a page in the back/forward cache is sent what waits before an answer",
    "if (port && !port.suspended) postBatch(c, port);",
    "if (port) postBatch(c, port);",
  ),
  core(
    "delivery",
    500,
    "a page that comes back is not brought up to date",
    "port.suspended = false;\n  if (port.outbox.size > 0) c.touchedPorts.add(port);",
    "port.suspended = true;",
  ),

  // Routing
  core(
    "routing",
    500,
    "a frame that nobody owns goes to whoever there is",
    "const task = taskId === undefined ? undefined : c.tasks.get(taskId);",
    "const task = taskId === undefined ? [...c.tasks.values()][0] : c.tasks.get(taskId);",
  ),
  core(
    "routing",
    2000,
    "a frame without an id goes to the newest task while nothing of ours runs",
    "toTask(c, server, socket, server.running, message, bytes);",
    "toTask(c, server, socket, server.running ?? [...server.routes.keys()].at(-1), message, bytes);",
  ),
  core(
    "task-lifecycle",
    500,
    "events go to the tab that came first",
    "const tab = c.tabs.get(task.tabId);\n  if (!tab) return;\n  //",
    "const tab = [...c.tabs.values()][0];\n  if (!tab) return;\n  //",
  ),
  core(
    "absence",
    500,
    "a tab is welcomed with everybody's tasks",
    "[...c.tasks.values()].filter((task) => task.tabId === tabId);",
    "[...c.tasks.values()].filter((task) => task.tabId !== undefined || tabId);",
  ),

  // Endings
  core(
    "routing",
    500,
    "frames are told after the ending, too",
    "  // Late frames after the ending are normal; the first ending wins.\n  if (isOver(task)) return;",
    "",
  ),
  core(
    "task-lifecycle",
    500,
    "an ending is told before the journal has it",
    'writeJournal(c, task, { for: "ending", task: task.id });',
    'writeJournal(c, task, { for: "ending", task: task.id });\n  tellEnding(c, task);',
  ),

  // Look-ups
  core(
    "recovery",
    3000,
    "what a host sent whose journal had failed is sent once more",
    "(known?.serverId !== undefined || isOld(c, entry))",
    "false",
  ),
  core(
    "reconcile",
    3000,
    "a failed look-up is taken for gone",
    "const entry = read ? readHistory(answer.text, purpose.promptId) : undefined;",
    'const entry = (read && readHistory(answer.text, purpose.promptId)) || "unknown";',
  ),
  core(
    "reconcile",
    500,
    "what is not in the queue is lost",
    "lookUpHistory(c, server, task, queue.isWhole ? purpose.startedAt : notAsked);",
    'settle(c, task, { type: "lost", reason: "removed" });',
  ),
  core(
    "reconcile",
    500,
    "a task whose prompt is gone stays open for ever",
    "else if (task.misses >= 2) unknownTwice(c, server, task);",
    "",
  ),
  core(
    "twins",
    1000,
    "twins are not looked for",
    "const counts = new Map<string, number>();",
    "const counts = new Map<string, number>();\n  if (counts.size === 0) return;",
  ),

  // POST
  core(
    "submission",
    500,
    "a POST whose answer is lost is repeated blindly",
    'unsure(c, task, reply.failure === "timeout" ? "it did not answer in time" : "the answer was lost");',
    "commit(c, task);",
  ),
  core(
    "submission",
    500,
    "no quarantine before a second POST",
    "if (task.missedAt < task.quarantineUntil || task.misses < 2) return;",
    "if (task.misses < 2) return;",
  ),
  core(
    "submission",
    2000,
    "a POST goes out before the journal has it",
    'writeJournal(c, task, { for: "post", task: task.id });',
    "task.posts -= 1;\n  post(c, task);",
  ),
  core(
    "submission",
    2000,
    "the journal is not asked again by a host that was held up",
    "c.moment.now - since > freshMs || ",
    "",
  ),
  core(
    "recovery",
    500,
    "what a dead host has sent is sent again at once",
    "(entry.accepted || entry.registered || entry.posts > 0)",
    "(entry.accepted || entry.registered)",
  ),
  core(
    "servers",
    500,
    "a prompt is sent before it has a route",
    "addRoute(serverFor(c, declared), task);",
    "",
  ),
  core("connection", 500, "what waits for a server is never sent", "c.sendWaiting = true;", ""),

  // Hosts
  core(
    "session",
    500,
    "a tab is welcomed without asking the journal",
    "if (hello.isNew && !known) {",
    "if (!known) {",
  ),
  core(
    "session",
    2000,
    "what a tab remembers is not taken up",
    "if (stillThere) for (const task of hello.tasks) adopt(c, tab, task);",
    "",
  ),

  // Connections
  core(
    "connection",
    500,
    "after a deaf socket its onclose is waited for",
    'server.connection = { at: "waiting", attempt: 0, until: c.moment.now };\n  openSocket(c, server);',
    'server.connection = { at: "waiting", attempt: 0, until: c.moment.now };',
  ),
  core(
    "connection",
    2000,
    "a client id is used again while its socket may live",
    'c.effects.push({ do: "close-socket", socket });\n  renewClientId(c, server);\n  for',
    'c.effects.push({ do: "close-socket", socket });\n  for',
  ),
  core(
    "connection",
    500,
    "reconnects without back-off",
    "if (attempt <= 0) return Math.floor(random * 100);",
    "if (attempt <= 1e9) return Math.floor(random * 100);",
  ),

  // Cancel
  core(
    "cancel",
    2000,
    "an interrupt names no prompt",
    "const body = interruptBody(task.promptId);",
    'const body = "{}";',
  ),
  core(
    "cancel",
    500,
    "a task is told cancelled when its cancellation is asked for",
    'if (task.stage.at === "waiting" && !isSomewhere) settle',
    "if (!isOver(task)) settle",
  ),

  // Who is who, and where
  core("session", 500, "a hello is believed without its secret", "known.secret !== hello.tabSecret || ", ""),
  core(
    "routing",
    1000,
    "what one server says of a prompt is believed of another server's",
    "const taskId = server.routes.get(promptId);",
    "const taskId = [...c.servers.values()].map(({ routes }) => routes.get(promptId)).find(Boolean);",
  ),
  core(
    "submission",
    2000,
    "a submission that is repeated at the next host goes anywhere",
    "task.candidates = candidatesFor(tab, submission);",
    "",
  ),

  // The tab is gone
  core(
    "absence",
    500,
    "a task whose tab is gone is never cancelled",
    'if (cancelAt !== undefined) c.effects.push({ do: "probe-tab", tabId, task: id });',
    "",
  ),

  core(
    "coordinator",
    2000,
    "a socket is believed to hear as long as it is open",
    'if (hearingAnswered(c, server, answer) === "deaf") replaceSocket(c, server);',
    "hearingAnswered(c, server, answer);",
  ),

  // Pages without locks
  core(
    "silence",
    2000,
    "what a page says is no sign of its life",
    "if (port) port.silentRounds = Math.min(port.silentRounds, 0);",
    "",
  ),

  // Servers named later, accounts, and prompts that apps send themselves
  core(
    "recovery",
    5000,
    "what is for a server that is not named is taken for queued",
    'task.stage = { at: "waiting" };\n    return;',
    "return;",
  ),
  core(
    "servers",
    1000,
    "a server is one for all its accounts",
    "const known = c.servers.get(key);",
    "const known = [...c.servers.values()].find((one) => one.url === url);",
  ),
  core(
    "access",
    1000,
    "a server that refuses a tab is asked no more",
    "if (isWanted(c, server)) lookAgain(c, server, inMs);",
    "",
  ),
  core(
    "session",
    500,
    "a prompt that its app has sent is watched only by its messages",
    "  surveySoon(c, server, 0);\n}",
    "}",
  ),
  core(
    "routing",
    500,
    "a custom message reaches every tab that names its server",
    "if (key === server.key && broadcastTypes.includes(type))",
    "if (key === server.key)",
  ),

  // Two hosts at once
  core(
    "recovery",
    500,
    "what another host has claimed is written over all the same",
    "if (generation < task.generation) writeJournal(c, task, again);",
    "if (generation > 0) writeJournal(c, Object.assign(task, { generation: generation + 100 }), again);",
  ),
  {
    name: "the journal does not compare generations",
    file: "world/journal-model.ts",
    from: "known.generation > entry.generation",
    to: "false",
    seeds: 1000,
  },
  core(
    "recovery",
    5000,
    "a host that writes first what its tab remembers writes on without an answer",
    "tab.claiming += 1;\n  writeNow",
    "tab.claiming += 0;\n  writeNow",
  ),
];
