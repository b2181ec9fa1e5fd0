import type { ConnectOptions, Session } from "./api.ts";
import { browserPlatform } from "./browser.ts";
import { type CheckedOptions, checkOptions, invalidOption } from "./options.ts";
import { openPage, type Page } from "./page.ts";
import type { Platform } from "./platform.ts";
import { createSession } from "./session.ts";

interface Shared {
  readonly options: CheckedOptions;
  readonly page: Promise<Page>;
  handles: number;
}

const pages = new Map<string, Shared>();

/**
 * Connects this page to the host of its origin, and names the servers that it may use. Resolves with the
 * handshake, whether or not a server answers. Several calls in one page share one link and get a handle
 * each; later ones may name more servers.
 *
 * @throws {@link ComfyTabsError} `invalid-option` — also when a later call wants another mode, worker or
 *   previews than the first; `timeout` — no handshake within 15 s; `unsupported-environment` — not a page,
 *   or no worker can be had; `version-mismatch`
 */
export function connect(options: ConnectOptions): Promise<Session> {
  return connectOn(browserPlatform, pages, options);
}

/** `connect` on any platform: tests bring their own. */
export async function connectOn(
  platformOf: () => Platform,
  known: Map<string, Shared>,
  options: ConnectOptions,
): Promise<Session> {
  const checked = checkOptions(options);
  const platform = platformOf();
  const { name } = checked;
  let shared = known.get(name);
  if (shared) {
    for (const option of ["mode", "previews", "worker"] as const)
      if (options[option] !== undefined && shared.options[option] !== checked[option])
        throw invalidOption(option, `This page is connected already, with another \`${option}\`.`);
  } else {
    shared = { options: checked, page: openPage(platform, checked), handles: 0 };
    known.set(name, shared);
  }
  const mine = shared;
  mine.handles += 1;
  const release = (): void => {
    mine.handles -= 1;
    if (mine.handles > 0) return;
    if (known.get(name) === mine) known.delete(name);
    void mine.page.then((page) => page.close()).catch(() => {}); // it never opened
  };
  try {
    const page = await mine.page;
    await page.addServers(checked.servers);
    return createSession(page, platform.randomBytes, release);
  } catch (error) {
    release();
    throw error;
  }
}
