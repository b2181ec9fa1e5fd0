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
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (typeof value !== "object" || value === null)
    return kind === "Number" && !Number.isFinite(value)
      ? unsaid(path, String(value))
      : /^(Number|String|Boolean|Null|Undefined)$/.test(kind)
        ? undefined
        : unsaid(path, `a ${kind}`);
  const isList = kind === "Array";
  if (!isList && kind !== "Object") return unsaid(path, `a ${kind}`);
  if (above.includes(value)) return invalid(path, `${path} contains itself: pass a copy without the cycle.`);
  if (above.length >= nestingLimit) return tooDeep(path);
  // Spread, a hole is undefined, too: JSON makes null of both.
  for (const [key, part] of Object.entries(isList ? [...(value as unknown[])] : value)) {
    const name = path === "" ? key : `${path}.${key}`;
    const problem =
      isList && part === undefined ? unsaid(name, "undefined") : check(part, name, [...above, value]);
    if (problem) return problem;
  }
  return undefined;
}

const unsaid = (path: string, what: string): WorkflowProblem =>
  invalid(path, `${path} is ${what}, which JSON cannot say: pass plain data, or leave it out.`);

const invalid = (path: string, message: string): WorkflowProblem => ({
  code: "workflow-invalid",
  path,
  message,
});
