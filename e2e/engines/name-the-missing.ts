import { isThere } from "../../scripts/browsers.mjs";
import { engineNames } from "./engine.ts";

/** What did not run shall not look as if it had passed. */
export default function nameTheMissing(): void {
  for (const name of engineNames)
    if (!isThere(name)) console.log(`There is no ${name} here: NOTHING is tested in it.`);
}
