import { type BrowserType, chromium, firefox, type LaunchOptions, type Page, webkit } from "@playwright/test";
import { findBrowser } from "../../scripts/browsers.mjs";
import { chromiumArgs } from "../chromium-args.ts";
import { type Engine, type EngineName, type EngineTab, insecureHost } from "./engine.ts";

/**
 * Chromium and Firefox as the system has them, or any of the three as Playwright brings it.
 *
 * @param preferences Firefox's, by their names in `about:config`
 */
export async function launchByPlaywright(
  name: EngineName,
  preferences: Record<string, string | number | boolean> = {},
): Promise<Engine> {
  const executablePath = findBrowser(name);
  if (!executablePath) throw new Error(`There is no ${name}.`);
  const launch: Record<EngineName, [BrowserType, LaunchOptions]> = {
    chromium: [
      chromium,
      {
        args: [...chromiumArgs, `--host-resolver-rules=MAP ${insecureHost} 127.0.0.1`],
      },
    ],
    firefox: [
      firefox,
      {
        // Mozilla's own build, by WebDriver BiDi; Playwright's build speaks a language of its own.
        ...(executablePath === firefox.executablePath() ? {} : { channel: "moz-firefox" }),
        firefoxUserPrefs: { "network.dns.localDomains": insecureHost, ...preferences },
      },
    ],
    webkit: [webkit, {}],
  };
  const [type, options] = launch[name];
  const browser = await type.launch({ executablePath, ...options });
  return {
    version: browser.version(),
    async newProfile() {
      const context = await browser.newContext();
      return {
        async open(url) {
          const page = await context.newPage();
          await page.goto(url);
          return tabOf(page, name);
        },
        close: () => context.close(),
      };
    },
    close: () => browser.close(),
  };
}

function tabOf(page: Page, name: EngineName): EngineTab {
  return {
    evaluate: (run, given) => page.evaluate(run as never, given as never),
    reload: async () => void (await page.reload()),
    close: () => page.close(),
    crash:
      name === "chromium"
        ? async () => {
            const crashed = page.waitForEvent("crash");
            const protocol = await page.context().newCDPSession(page);
            void protocol.send("Page.crash").catch(() => {}); // nobody is left to answer
            await crashed;
          }
        : undefined,
  };
}
