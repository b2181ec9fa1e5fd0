/**
 * Fields that never leave a bundle, so that its minifier may shorten their names. Not here may be what crosses a
 * port, goes to a server or into a storage, is said to an app, or is the browser's own: the build refuses it.
 */
import { readdirSync, readFileSync } from "node:fs";

const names = {
  client: `
    answered args askForAccess authOf book carry closing current deadlineMs drain expect failAll firstServer forget
    forgetAll greeting handles hangs hold hostForgets hostGone hosts isEarly iterate keyOf knownLocks knownTasks learn
    makeShared makeSolo note onEvent onGone onHung onNews onPageEvent onRefused onRenewed onWelcome opening over
    portLock post randomBytes releaseAll sent sentTo serve sharedStorage takeAll takeEvent takeSnapshot takeWelcome
    tell told uploads waits whenOver whenShown`,
  worker: `
    accounts addPort admit adrift afterThisTask allowed answer answers args arriving aside askedAt attempt atWall
    barred blockOf breakCycles cachedNodeIds cachedNodes calls cancelJob candidates chosen chosenPromptId claiming
    claimOverdue claims clean clock closeAll closedUntil confirmedAt currentInputs currentOutputs dead declaration
    differsSince divided drain effects endHeard endSeenAt envelope erase expect expire failures fallSeen flying forget
    freeAt gathering givenUp grant hearing heldAgainst heldWrites hopeless ignoresDepth inAll inherited
    inheriting intent isDead isFirm isFree isHeld isTabThere isWhole journalDegraded journalled keyOf lastAt lastBatch
    lastKey lastMessage lastNewsAt lastServer lastTurn lives lossNoted metadataPreviews missedAt misses missingSince
    moment moved names newRequest nextAt nextClientId nodeProgress notes onDegraded opaque openChannel openSocket
    outputBytes outputsIncomplete owed parentNodeId perTab pings plan portGone positionsAt post probe quarantineUntil
    queueChangedAt realNodeId reconnected record refusals removePort renew requests rotations roundAt routes runtime
    secret sendWaiting silentRounds socket spare stage startedAt startSeen survey suspectedAt suspended suspicion
    targetedInterrupt taskIds tell timeoutMs timer timers touchedPorts twin twinned unclaimed unheard unmet uuidOnly
    verdict waitsFor wakeAt wall warnings watch witness wouldDeadlock writes yours`,
};

/** What is said on a port; a mailbox is each side's own. */
const protocol = filesIn("src/protocol", /^(?!mailbox).*(?<!\.test)\.ts$/);
const comlink = "node_modules/comlink/dist/esm/comlink.mjs";
/** What is spelled in these may leave the bundle: to a port, a storage, an app. */
const outside = {
  client: [...protocol, comlink, "src/client/api.ts", "src/client/identity.ts"],
  worker: [...protocol, comlink, "src/core/journal.ts"],
};
/** So may ComfyUI's own words; those have no capitals. */
const comfy = filesIn("src/comfy", /(?<!\.test)\.ts$/);
const platform = filesIn(
  `node_modules/@typescript/typescript-${process.platform}-${process.arch}/lib`,
  /^lib\.(dom|webworker|es).*\.d\.ts$/,
);

/** @returns a pattern for Terser: nothing else is renamed. @throws where a name is not ours alone */
export function mangledNames(bundle) {
  const own = names[bundle].trim().split(/\s+/);
  const spelled = new Set([
    ...outside[bundle].flatMap((file) => codeOf(file).match(/[\w$]+/g)),
    ...comfy.flatMap((file) => codeOf(file).match(/(?<![\w$])[a-z\d_$]+(?![\w$])/g)),
  ]);
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
