type Name = "chromium" | "firefox" | "webkit";

export function findBrowser(name: Name): string | undefined;
export function findWebKitGtk(): { driver: string; browser: string; xvfb: string } | undefined;
export function isThere(name: Name): boolean;
export function provide(name: Name): boolean;
