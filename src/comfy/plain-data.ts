/** Why a workflow cannot be sent. */
export interface WorkflowProblem {
  readonly code: "workflow-format" | "workflow-invalid";
  /** Where, e.g. `3.inputs.model`; empty for the whole. */
  readonly path: string;
  /** One sentence that says what to do. */
  readonly message: string;
}

/** Levels of objects and lists in each other: far from where Python's recursion ends. */
export const nestingLimit = 200;

/** Finds what of `value`, called `path` or else by its keys, JSON would drop, change or refuse without a word. */
export const checkPlainData = (value: unknown, path: string): WorkflowProblem | undefined =>
  check(value, path, []);

export const tooDeep = (path: string): WorkflowProblem =>
  invalid(path.slice(0, 100), `The workflow is nested deeper than ${nestingLimit} levels: make it flatter.`);

function check(value: unknown, path: string, above: readonly object[]): WorkflowProblem | undefined {
  const kind = Array.isArray(value) ? "array" : typeof value;
  if (kind === "number" && !Number.isFinite(value))
    return invalid(path, `${path} is ${value}, which JSON cannot say: pass a finite number.`);
  if (kind === "bigint" || kind === "function" || kind === "symbol")
    return invalid(
      path,
      `${path} is a ${kind}, which JSON cannot say: pass a number, a string or leave it out.`,
    );
  if (typeof value !== "object" || value === null) return undefined;
  const tag = Object.prototype.toString.call(value).slice(8, -1);
  if (tag !== "Object" && tag !== "Array")
    return invalid(
      path,
      `${path} is a ${tag}, which JSON cannot say: pass what the node expects as plain data.`,
    );
  if (above.includes(value)) return invalid(path, `${path} contains itself: pass a copy without the cycle.`);
  if (above.length >= nestingLimit) return tooDeep(path);
  const inside = [...above, value];
  // Spread, a hole is undefined, too: JSON makes null of both.
  for (const [key, part] of Object.entries(Array.isArray(value) ? [...value] : value)) {
    const name = path === "" ? key : `${path}.${key}`;
    if (part === undefined && kind === "array")
      return invalid(name, `${name} is undefined: pass null or leave it out.`);
    const problem = check(part, name, inside);
    if (problem) return problem;
  }
  return undefined;
}

const invalid = (path: string, message: string): WorkflowProblem => ({
  code: "workflow-invalid",
  path,
  message,
});
