import { addressSpace } from "../../comfy/addresses.ts";
import { blockOf } from "../../core/diagnosis.ts";
import type { BlockOf } from "./http.ts";

type Query = (permission: { name: string }) => Promise<{ state: PermissionState }>;

/**
 * What the pages of this origin may not reach.
 *
 * @param page an address of the origin
 * @param query `navigator.permissions.query`; undefined where there is none
 */
export const pageLimits =
  (page: string, query: Query | undefined): BlockOf =>
  async (url) => {
    const space = addressSpace(url);
    // One permission in Chromium 142, one for each space since 145; elsewhere the name is refused.
    const state = async (name: string): Promise<PermissionState | undefined> => {
      try {
        return (await query?.({ name }))?.state;
      } catch {
        return undefined;
      }
    };
    const permission =
      (await state(space === "loopback" ? "loopback-network" : "local-network")) ??
      (await state("local-network-access"));
    return blockOf(url, page, permission);
  };
