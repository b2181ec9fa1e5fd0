import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chromium } from "playwright";

const places = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** A Chromium that is already there: `CHROMIUM`, the system's, or Playwright's own. */
export function findChromium() {
  return [...places, playwrightsOwn()].find((place) => place && existsSync(place));
}

/**
 * A Chromium in any case: the one that is there, else Playwright's download, else Debian's package.
 * @throws Error that says what to install
 */
export function provideChromium() {
  const found = findChromium();
  if (found) return found;
  console.log("No Chromium found: installing Playwright's own.");
  run("npx", ["playwright", "install", "chromium"]);
  if (!findChromium() && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    console.log("That is not to be had here: installing Debian's package.");
    run("apt-get", ["update", "-q"]);
    run("apt-get", ["install", "-y", "-q", "--no-install-recommends", "chromium"]);
  }
  const installed = findChromium();
  if (!installed)
    throw new Error("No Chromium: install one, or name it in the environment variable CHROMIUM.");
  return installed;
}

function playwrightsOwn() {
  try {
    return chromium.executablePath();
  } catch {
    return undefined;
  }
}

function run(command, args) {
  spawnSync(command, args, { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}
