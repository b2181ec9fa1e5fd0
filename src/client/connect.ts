import type { ConnectOptions, Session } from "./api.ts";
import { browserPlatform } from "./browser.ts";
import { createGeneration, type Generation } from "./generation.ts";
import { type CheckedOptions, checkOptions, invalidOption } from "./options.ts";
import { openPage, type Page } from "./page.ts";
import type { Platform } from "./platform.ts";
import { createSession } from "./session.ts";

/** What a realm knows, by name: there is one realm to a page, unless a test brings more. */
export interface Pages {
  readonly open: Map<string, SharedPage>;
  /** Also where the storage keeps nothing, and whatever `connect` failed of. */
  readonly generations: Map<string, Generation>;
}

export const createPages = (): Pages => ({ open: new Map(), generations: new Map() });

export interface SharedPage {
  readonly options: CheckedOptions;
  readonly opening: Promise<Page>;
  handles: number;
}

const pages = createPages();

/**
 * Connects this page to the host of its origin, and names the servers that it may use. Resolves with the
 * handshake, whether or not a server answers; a page that is prerendered shakes hands when it is shown. Several calls in one page share one link and get a handle
 * each; later ones may name more servers. The logger is the first one's.
 *
 * @throws {@link ComfyTabsError} `invalid-option` — also when a later call wants another mode, worker or
 *   previews than the first, or calls another server, or the same with other options, by a known id; `timeout` — no handshake within some 15 s;
 *   `unsupported-environment` — not a page, or no worker can be had; `version-mismatch`
 */
export function connect(options: ConnectOptions): Promise<Session> {
  return connectOn(browserPlatform, pages, options);
}

/** `connect` on any platform: tests bring their own. */
export async function connectOn(
  platformOf: () => Platform,
  known: Pages,
  options: ConnectOptions,
): Promise<Session> {
  const checked = checkOptions(options);
  const { name } = checked;
  const platform = platformOf();
  const shared = known.open.get(name) ?? share(platform, known, checked);
  checkSame(options, checked, shared.options);
  shared.handles += 1;
  const release = (page: Page): void => {
    shared.handles -= 1;
    if (shared.handles > 0) return;
    known.open.delete(name);
    page.close();
  };
  const page = await shared.opening;
  try {
    await page.addServers(checked.servers);
  } catch (error) {
    release(page);
    throw error;
  }
  const [firstServer] = checked.servers;
  return createSession({
    page,
    firstServer: firstServer?.id ?? "",
    whenTabGone: checked.whenTabGone,
    randomBytes: platform.randomBytes,
    release: () => release(page),
  });
}

function share(platform: Platform, known: Pages, options: CheckedOptions): SharedPage {
  const { name } = options;
  const generations = known.generations.get(name) ?? createGeneration(platform, name);
  known.generations.set(name, generations);
  const shared = { options, opening: openPage(platform, options, generations), handles: 0 };
  known.open.set(name, shared);
  // Whoever tries again shall not meet this failure.
  shared.opening.catch(() => known.open.delete(name));
  return shared;
}

/** What a later call says has to be what the first one said; it may say nothing. */
function checkSame(given: ConnectOptions, checked: CheckedOptions, first: CheckedOptions): void {
  for (const option of ["mode", "previews", "worker"] as const)
    if (given[option] !== undefined && nameOf(checked[option]) !== nameOf(first[option]))
      throw invalidOption(option, `This page is connected already, with another \`${option}\`.`);
}

/** Two functions that make the worker cannot be compared: a component that is mounted again brings its own. */
const nameOf = (value: unknown): string => (typeof value === "function" ? "function" : String(value));
