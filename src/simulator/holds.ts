/** A place at which a prompt waits until a test releases it. */
export interface Hold {
  /** Absent: the next prompt that comes to the place, whichever it is. */
  readonly promptId?: string;
  /** `"queued"`: picked up, but not begun; else the type of the message after which it waits. */
  readonly after: string;
  readonly nodeId?: string;
}

export interface Holds {
  add(hold: Hold): void;
  remove(promptId?: string): void;
  /** Whether the prompt waits here. A hold holds once. */
  matches(promptId: string, type: string, nodeId: string | null | undefined): boolean;
}

export function createHolds(): Holds {
  let holds: readonly Hold[] = [];
  return {
    add: (hold) => {
      holds = [...holds, hold];
    },
    remove: (promptId) => {
      holds = promptId === undefined ? [] : holds.filter((hold) => hold.promptId !== promptId);
    },
    matches(promptId, type, nodeId) {
      if (holds.length === 0) return false;
      const found = holds.find(
        (hold) =>
          hold.after === type &&
          (hold.promptId ?? promptId) === promptId &&
          (hold.nodeId === undefined || hold.nodeId === nodeId),
      );
      if (found === undefined) return false;
      holds = holds.filter((hold) => hold !== found);
      return true;
    },
  };
}
