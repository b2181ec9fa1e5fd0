import type { Auth } from "./session-api.ts";

/** An account by its own word, not by its secret. Undefined where credentials name none. */
export const accountNamed = (auth: Auth | undefined): string | undefined =>
  auth?.account ?? (auth?.type === "basic" ? auth.username : undefined);
