import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";
import { firefox, webkit } from "playwright";
import { findChromium, provideChromium } from "./chromium.mjs";

const firefoxes = [
  process.env.FIREFOX,
  "/usr/bin/firefox-esr",
  "/usr/bin/firefox",
  "/Applications/Firefox.app/Contents/MacOS/firefox",
];

/** Where a browser is that Playwright can drive: the system's, else Playwright's own. */
export function findBrowser(name) {
  if (name === "chromium") return findChromium();
  const places = name === "firefox" ? [...firefoxes, ownOf(firefox)] : [ownOf(webkit)];
  return places.find((place) => place && existsSync(place));
}

/** WebKitGTK with what drives it, which Playwright does not. */
export function findWebKitGtk() {
  const [driver, xvfb] = [onPath("WebKitWebDriver"), onPath("Xvfb")];
  const browser = [process.env.MINIBROWSER, ...miniBrowsers()].find((place) => place && existsSync(place));
  return driver && xvfb && browser ? { driver, xvfb, browser } : undefined;
}

export const isThere = (name) =>
  findBrowser(name) !== undefined || (name === "webkit" && findWebKitGtk() !== undefined);

/** Installs what is missing where that can be had: from Playwright, else as Debian's packages. */
export function provide(name) {
  if (isThere(name)) return true;
  if (name === "chromium") {
    try {
      return provideChromium() !== undefined;
    } catch {
      return false;
    }
  }
  console.log(`No ${name} found: installing Playwright's own.`);
  run("npx", ["playwright", "install", name]);
  if (!isThere(name) && process.getuid?.() === 0 && existsSync("/usr/bin/apt-get")) {
    console.log("That is not to be had here: installing Debian's packages.");
    const packages = name === "firefox" ? ["firefox-esr"] : ["webkit2gtk-driver", "xvfb"];
    run("apt-get", ["update", "-q"]);
    run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages]);
  }
  return isThere(name);
}

const onPath = (program) =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(existsSync);

/** Debian has it in a folder of the machine's architecture, others in libexec. */
function miniBrowsers() {
  const folders = ["/usr/lib", "/usr/libexec"].filter(existsSync);
  const inside = folders.flatMap((folder) => [
    folder,
    ...readdirSync(folder).flatMap((name) => (name.includes("-linux-") ? [join(folder, name)] : [])),
  ]);
  return inside.flatMap((folder) =>
    ["webkit2gtk-4.1", "webkitgtk-6.0", "webkit2gtk-4.0"].map((name) => join(folder, name, "MiniBrowser")),
  );
}

function ownOf(browser) {
  try {
    return browser.executablePath();
  } catch {
    return undefined;
  }
}

function run(command, args) {
  spawnSync(command, args, { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
}
