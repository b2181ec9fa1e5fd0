/** Windows of one origin that were opened for a check. */
export const debugChannel = "comfy-tabs/debug";

export interface Participant {
  readonly windowId: string;
}

export interface CheckOrder {
  /** How many tasks each window submits at once. */
  readonly tasks: number;
  /** Id of a server. Default: each window's choice. */
  readonly server?: string;
}

export interface WindowReport extends Participant {
  readonly pass: boolean;
  readonly problems: readonly string[];
  /** The prompts that this window submitted. */
  readonly prompts: readonly string[];
  /** All prompts that this window can see when it is done. */
  readonly sees: readonly string[];
  readonly ms: number;
}

/** What is said on the channel. `run` tells checks apart. */
export type DebugMessage = { readonly run: string } & (
  | { readonly type: "who" }
  | ({ readonly type: "here" } & Participant)
  | { readonly type: "submit"; readonly order: CheckOrder }
  | { readonly type: "report"; readonly report: WindowReport }
  /** To one window: run the whole check for somebody who has only a console. */
  | { readonly type: "lead"; readonly windowId: string; readonly order: Partial<CheckOrder> }
  | { readonly type: "verdict"; readonly reports: readonly WindowReport[] }
);
