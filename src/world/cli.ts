// What `scripts/simulate.mjs` bundles.
export { faultKinds } from "./faults.ts";
export { shrink } from "./shrink.ts";
export { simulate } from "./simulation.ts";
export { Summary } from "./summary.ts";
