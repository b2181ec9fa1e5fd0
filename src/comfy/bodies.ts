/** `POST /queue`: forgets pending prompts, and silently none that is unknown or running. */
export const deleteBody = (promptIds: readonly string[]): string => JSON.stringify({ delete: promptIds });

/** `POST /interrupt`, since 0.3.57: stops this prompt if it is the one that runs, and no other. */
export const interruptBody = (promptId: string): string => JSON.stringify({ prompt_id: promptId });
