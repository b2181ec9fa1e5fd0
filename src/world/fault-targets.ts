import type { Fault as HttpFault } from "../simulator/index.ts";
import type { TabModel } from "./browser-model.ts";
import type { Dice } from "./dice.ts";
import type { HostModel } from "./host-model.ts";
import type { Wire } from "./network-model.ts";
import type { World } from "./world.ts";

/** Something that goes wrong. @returns whether it could, just now */
export type Fault = (world: World, dice: Dice) => boolean;

export const livePages = ({ browser }: World): TabModel[] =>
  browser.tabs.filter(({ page }) => page?.isAlive && !page.isStill);

export const tabFault =
  (then: (world: World, tab: TabModel, dice: Dice) => void): Fault =>
  (world, dice) => {
    const tab = dice.pick(livePages(world));
    if (tab) then(world, tab, dice);
    return tab !== undefined;
  };

export const hostFault =
  (then: (world: World, host: HostModel, dice: Dice) => void): Fault =>
  (world, dice) => {
    const host = dice.pick(world.browser.serving.filter(({ state }) => state === "live"));
    if (host) then(world, host, dice);
    return host !== undefined;
  };

export const wireFault =
  (then: (world: World, wire: Wire, dice: Dice) => void): Fault =>
  (world, dice) => {
    const wire = dice.pick([...world.network.wires].filter(({ isOpen }) => isOpen));
    if (wire) then(world, wire, dice);
    return wire !== undefined;
  };

export const httpFault =
  (fault: (dice: Dice) => HttpFault): Fault =>
  (world, dice) => {
    const server = dice.pick(world.servers);
    server?.faults.add(fault(dice));
    return true;
  };

export const serverFault =
  (then: (world: World, server: World["servers"][number], dice: Dice) => void): Fault =>
  (world, dice) => {
    const server = dice.pick(world.servers);
    if (!server?.isUp) return false;
    server.advanceTo(world.agenda.now);
    then(world, server, dice);
    return true;
  };

export const promptFault = (
  then: (world: World, server: World["servers"][number], promptId: string) => void,
): Fault =>
  serverFault((world, server, dice) => {
    const open = server.log.prompts.filter((one) => one.ending === undefined && one.removed === undefined);
    const { promptId } = dice.pick(open) ?? {};
    if (promptId !== undefined) then(world, server, promptId);
  });
