import { type Abilities, abilities, compareVersions } from "../comfy/versions.ts";

/** The versions of ComfyUI that were measured; any other version number takes the abilities of its age. */
export type ComfyVersion = "0.33.0" | "0.12.1" | "0.3.64" | "0.3.42" | (string & {});

/** What a server of some version does, beyond what its clients need to know (from ComfyUI's history). */
export interface ServerAbilities extends Abilities {
  readonly partialExecution: boolean;
  readonly createTime: boolean;
  readonly throttledProgress: boolean;
  readonly missingNodeType: boolean;
  /** Old classes of nodes are replaced by new ones, for which the graph has to be an object. */
  readonly nodeReplacements: boolean;
  readonly refusesCrossSite: boolean;
  readonly refusesCycles: boolean;
  readonly errorTips: boolean;
}

export function serverAbilities(version: ComfyVersion): ServerAbilities {
  const since = (first: string): boolean => compareVersions(version, first) >= 0;
  return {
    ...abilities(version),
    partialExecution: since("0.3.48"),
    createTime: since("0.3.69"),
    throttledProgress: since("0.9.2"),
    missingNodeType: since("0.12.0"),
    nodeReplacements: since("0.14.0"),
    refusesCrossSite: since("0.19.0"),
    refusesCycles: since("0.20.0"),
    errorTips: since("0.12.0"),
  };
}
