/**
 * Fields that never leave a bundle, so that its minifier may shorten their names. Not here may be what crosses a
 * port, goes to a server or into a storage, is said to an app, or is the browser's own: the build refuses it.
 */
import { readdirSync, readFileSync } from "node:fs";

const names = {
  client: `
    askForAccess authOf book carry closing current deadlineMs expect failAll firstServer forget forgetAll greeting handles
    hangs hold hostGone iterate knownLocks knownTasks learn makeShared makeSolo onEvent onGone onHung onNews onPageEvent onRefused onRenewed onWelcome
    opening isEarly portLock post randomBytes releaseAll sent sentTo serve sharedStorage takeAll takeEvent takeSnapshot takeWelcome uploads whenOver withdrawn`,
  worker: `
    accounts addPort admit afterThisTask allowed arriving askedAt blockOf cachedNodes clean clock closedUntil closeAll confirmedAt
    differsSince effects endSeenAt envelope expect flying forget freeAt gathering givenUp heldWrites hopeless inheriting isDead
    journalDegraded lastAt lastBatch lastKey lastMessage lastNewsAt missedAt misses moment moved newRequest nextAt nextClientId
    opaque openSocket outputBytes outputsIncomplete owed plan portGone probe quarantineUntil queueFellAt reconnected
    adrift aside atWall barred breakCycles candidates chosen declaration divided endHeard failures grant hearing heldAgainst heldBy ignoresDepth intent isFirm isFree isHeld isTabThere journalled lastServer lastTurn
    positionsAt silentRounds spare survey waitsFor watched yours
    record refusals removePort requests rotations roundAt routes runtime sendWaiting stage startSeen startedAt suspectedAt
    suspended suspicion tell timeoutMs timer touchedPorts twinned unclaimed verdict wakeAt watch wall warnings witness wouldDeadlock`,
};

/** What is spelled in these may leave a bundle. */
const outside = [
  ...["protocol", "comfy", "worker/journal"].flatMap((folder) =>
    filesIn(`src/${folder}`, /(?<!\.test)\.ts$/),
  ),
  ...["client/api.ts", "client/identity.ts", "core/journal.ts"].map((file) => `src/${file}`),
  "node_modules/comlink/dist/esm/comlink.mjs",
];
const platform = filesIn(
  `node_modules/@typescript/typescript-${process.platform}-${process.arch}/lib`,
  /^lib\.(dom|webworker|es).*\.d\.ts$/,
);

/** @returns a pattern for Terser: nothing else is renamed. @throws where a name is not ours alone */
export function mangledNames(bundle) {
  const own = names[bundle].trim().split(/\s+/);
  const spelled = new Set(outside.flatMap((file) => codeOf(file).match(/[\w$]+/g)));
  for (const file of platform)
    for (const [, name] of codeOf(file).matchAll(/(?:^|[{;])\s*(?:readonly |get |set )*(\w+)\??[:(<]/gm))
      spelled.add(name);
  const shared = own.filter((name) => spelled.has(name));
  if (shared.length > 0) throw new Error(`scripts/mangled-names.mjs: not only ours: ${shared.join(", ")}`);
  return new RegExp(`^(${own.join("|")})$`);
}

function filesIn(folder, pattern) {
  return readdirSync(folder)
    .filter((name) => pattern.test(name))
    .map((name) => `${folder}/${name}`);
}

const codeOf = (file) => readFileSync(file, "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
