import { nanoid } from "nanoid";

/** `window_<ms>_<random>`, as the old code made them. */
export const generateWindowId = (): string => `window_${Date.now()}_${nanoid(6)}`;

/**
 * An id of nobody's socket. Prompts that are to be heard of live are sent under `WINDOW_CLIENT_ID`; this is for code
 * that only wants a name.
 */
export const generateUniqueClientId = (): string => `client_${Date.now()}_${nanoid(12)}`;
