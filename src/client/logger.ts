import type { ConnectOptions, Logger } from "./api.ts";

/** Every line starts with who speaks, for a console that shows several windows. */
export function createLogger(option: ConnectOptions["logger"] = "warn", windowId: string): Logger {
  const mark = `[${windowId}]`;
  const target = typeof option === "object" ? option : console;
  const silent = (): void => {};
  return {
    debug:
      typeof option === "object" || option === "debug" ? (...said) => target.debug(mark, ...said) : silent,
    warn: option === "silent" ? silent : (...said) => target.warn(mark, ...said),
  };
}
