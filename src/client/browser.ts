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
  return {
    locks: (navigator as { locks?: LocksLike }).locks,
    storage: () => sessionStorage,
    sharedStorage: () => localStorage,
    makeShared: typeof SharedWorker === "undefined" ? undefined : sharedHost,
    makeSolo: typeof Worker === "undefined" ? undefined : soloHost,
    onPageEvent(type, listener) {
      const hear = (event: PageTransitionEvent): void => listener(event.persisted);
      addEventListener(type, hear);
      return () => removeEventListener(type, hear);
    },
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
  };
}
