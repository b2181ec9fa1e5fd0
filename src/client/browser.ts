import { ComfyTabsError } from "../protocol/errors.ts";
import { sharedHost } from "./host/shared.ts";
import { soloHost } from "./host/solo.ts";
import type { LocksLike, Platform } from "./platform.ts";

/** @throws {@link ComfyTabsError} `unsupported-environment` outside a page, e.g. while rendering on a server */
export function browserPlatform(): Platform {
  if (typeof window === "undefined" || typeof MessageChannel === "undefined")
    throw new ComfyTabsError("unsupported-environment", "comfy-tabs connects in a page only.", {
      missing: "window",
    });
  const { prerendering } = document as { prerendering?: boolean };
  return {
    whenShown: prerendering
      ? new Promise((shown) => document.addEventListener("prerenderingchange", shown, { once: true }))
      : undefined,
    // Looked for when the worker is on its way.
    get locks() {
      return (navigator as { locks?: LocksLike }).locks;
    },
    openChannel: typeof BroadcastChannel === "undefined" ? undefined : (name) => new BroadcastChannel(name),
    frame: frameOf(window),
    storage: () => sessionStorage,
    sharedStorage: () => localStorage,
    makeShared: typeof SharedWorker === "undefined" ? undefined : sharedHost,
    makeSolo: typeof Worker === "undefined" ? undefined : soloHost,
    onPageEvent(type, listener) {
      const hear = (event: PageTransitionEvent): void => listener(event.persisted);
      addEventListener(type, hear);
      return () => removeEventListener(type, hear);
    },
    askForAccess,
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  };
}

/** Its place among the frames of each page above it. */
function frameOf({ parent, window }: Window): string {
  if (!parent || parent === window) return "";
  let place = 0;
  while (parent[place] && parent[place] !== window) place += 1;
  return `${frameOf(parent)}/${place}`;
}

/** Chromium asks its user for the local network where a page wants to reach it; a worker it refuses. */
async function askForAccess(servers: readonly { readonly url: string }[]): Promise<void> {
  if (!isSecureContext || /^(localhost|127\.|\[::1)/.test(location.hostname)) return;
  // Two names since Chromium 145, one before; elsewhere none of them is known.
  const states = ["loopback-network", "local-network", "local-network-access"].map(
    async (name) => (await navigator.permissions.query({ name: name as PermissionName })).state,
  );
  const asks = (await Promise.allSettled(states)).some((one) => "value" in one && one.value === "prompt");
  if (!asks) return;
  const signal = AbortSignal.timeout(10_000);
  // What comes of it, the worker finds out.
  await Promise.allSettled(
    servers.map(({ url }) => fetch(`${url}/prompt`, { mode: "no-cors", credentials: "omit", signal })),
  );
}
