declare const __COMFY_TABS_BUILD__: string | undefined;

/** The package's version, as the bundler wrote it in; "source" where nothing did. */
export const build: string = typeof __COMFY_TABS_BUILD__ === "string" ? __COMFY_TABS_BUILD__ : "source";
