// What the scripts bundle: `scripts/simulate.mjs` and `scripts/mutants.mjs`.
export { faultKinds } from "./faults.ts";
export { mutants } from "./mutants.ts";
export { shrink } from "./shrink.ts";
export { simulate, worldSizes } from "./simulation.ts";
export { Summary } from "./summary.ts";
